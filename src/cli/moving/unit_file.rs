//! The unit file of an OpenClaw gateway and the drop-in beside it, as texts.
//!
//! Rule: what goes from the one into the other is one line that was looked at, word by word. Anything that the installers of
//! OpenClaw do not write is refused, not interpreted.
//!
//! Facts: OpenClaw 2026.3.13 and 2026.9.6 write one `ExecStart=` with `gateway --port N` in it, of several `--port` the last
//! counts, and the flag counts before `OPENCLAW_GATEWAY_PORT`. The first reads the unit's file alone, the second what the
//! service manager made of it, drop-ins included. Neither writes to a drop-in.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::json::Member;
use crate::config::settings::Runtime;

/// What a unit file says, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitFile {
    starts: Vec<String>,
    environment: Vec<(String, String)>,
}

impl UnitFile {
    /// Reads the section `[Service]`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let mut section = String::new();
        for line in logical_lines(text) {
            let line = line.trim();
            if line.starts_with('[') {
                line.clone_into(&mut section);
            }
            if section != "[Service]" || line.starts_with(['#', ';']) {
                continue;
            }
            match line.split_once('=').map(|(key, value)| (key.trim_end(), value.trim())) {
                // An empty one takes back what stands above it.
                Some(("ExecStart", "")) => file.starts.clear(),
                Some(("ExecStart", start)) => file.starts.push(start.to_owned()),
                Some(("Environment", "")) => file.environment.clear(),
                Some(("Environment", words)) => file.environment.extend(assignments(words)),
                _ => {}
            }
        }
        file
    }

    /// The one command that starts the gateway, if it is one to which a port can be added.
    pub(crate) fn start(&self) -> Result<&str, String> {
        let [start] = self.starts.as_slice() else {
            return Err(format!("it has {} lines ExecStart=, not one", self.starts.len()));
        };
        match fault(start) {
            None => Ok(start),
            Some(fault) => Err(format!("its ExecStart= {fault}")),
        }
    }

    /// Whether it says how the gateway is started.
    pub(crate) fn has_start(&self) -> bool {
        !self.starts.is_empty()
    }

    /// The port: the last flag, else the variable.
    pub(crate) fn port(&self) -> Option<u16> {
        let words: Vec<String> = self.starts.last().map(|start| words(start)).unwrap_or_default();
        let behind = words.iter().zip(words.iter().skip(1)).filter(|(word, _)| *word == "--port");
        let behind = behind.map(|(_, port)| port.as_str()).next_back();
        let joined = words.iter().filter_map(|word| word.strip_prefix("--port=")).next_back();
        behind.or(joined).or_else(|| self.variable("OPENCLAW_GATEWAY_PORT"))?.parse().ok()
    }

    /// A variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The drop-in that moves a gateway to `port`. `before` is what the settings said, for whoever undoes it.
pub(crate) fn drop_in(start: &str, port: u16, before: &Runtime) -> String {
    let before = json!({"port": before.port, "unit": before.unit});
    format!(
        "# Written by `loopgate adopt`, taken away by `loopgate release`; see loopgate(1).\n{BEFORE}{before}\n\
         [Service]\nExecStart=\nExecStart={start} --port {port}\n"
    )
}

/// What the settings said before the drop-in was written.
pub(crate) fn before(drop_in: &str) -> Runtime {
    let record = drop_in.lines().find_map(|line| line.strip_prefix(BEFORE)).unwrap_or_default();
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    let port = record.at("port").as_u64().and_then(|port| u16::try_from(port).ok());
    Runtime { port, unit: record.at("unit").as_str().map(str::to_owned) }
}

/// The drop-in that has loopgated read what this gateway reads, if it reads something else than usual. An error if a path
/// cannot stand in a unit as it is.
pub(crate) fn world(file: &UnitFile) -> Result<Option<String>, String> {
    let mut lines = String::new();
    for name in WORLD {
        let Some(value) = file.variable(name) else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._@+-".contains(c);
        if !value.starts_with('/') || !value.chars().all(plain) {
            return Err(format!("its {name} is no plain path"));
        }
        writeln!(lines, "Environment={name}={value}").ok();
    }
    let head =
        "# Written by `loopgate adopt`, taken away by `loopgate release`; see loopgate(1).\n[Service]\n";
    Ok((!lines.is_empty()).then(|| format!("{head}{lines}")))
}

/// `text` without the secrets that some give a gateway as an argument: nothing is shown behind such a flag.
pub(crate) fn redacted(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let flags = SECRETS.iter().filter_map(|flag| line.find(flag).map(|at| at + flag.len()));
        match flags.min().and_then(|end| line.get(..end)) {
            Some(shown) => format!("{shown} ..."),
            None => line.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Why a command cannot be taken over; it stays as it is, so nothing in it needs to be understood.
fn fault(start: &str) -> Option<&'static str> {
    let words = words(start);
    if start.len() > START_BYTES_MAX {
        Some("is too long")
    } else if start.chars().any(char::is_control) || start.ends_with('\\') {
        Some("has a control character, or goes on behind its end")
    } else if !start.trim_start_matches('"').starts_with('/') {
        // Prefixes such as `+` and `-` change what systemd makes of it.
        Some("does not begin with a path")
    } else if words.iter().any(|word| word == ";") {
        Some("holds several commands")
    } else if !words.iter().any(|word| word == "gateway") {
        Some("is not one that OpenClaw's installer writes: the word gateway is missing")
    } else {
        None
    }
}

/// Lines, those that end in a backslash joined with the next, as systemd does.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let (line, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        match lines.last_mut().filter(|_| open) {
            Some(last) => *last = format!("{last} {line}"),
            None => lines.push(line.to_owned()),
        }
        open = goes_on;
    }
    lines
}

/// Words, those in quotes as one. Escapes stay as they are.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c == '"' || c == '\'' => quote = Some(c),
            (c, None) if c.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn assignments(text: &str) -> Vec<(String, String)> {
    let pairs = words(text).into_iter();
    pairs.filter_map(|word| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect()
}

/// The drop-in's name: behind what packages bring, before what people write.
pub(crate) const DROP_IN: &str = "50-loopgate.conf";
const BEFORE: &str = "# before: ";
const SECRETS: [&str; 2] = ["--token", "--password"];
/// Where loopgated looks for what is the gateway's; see `config::paths`.
const WORLD: [&str; 3] = ["OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH"];
/// Far beyond what an installer writes.
const START_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "/opt/node --max-old-space-size=8192 \"/opt/a b/index.js\" gateway --port 18789";

    fn file(start: &str) -> UnitFile {
        UnitFile::parse(&format!(
            "[Unit]\nExecStart=/no\n[Service]\n# c\nExecStart={start}\nRestart=always\n"
        ))
    }

    #[test]
    fn a_command_is_taken_as_it_stands_or_not_at_all() {
        assert_eq!(file(START).start(), Ok(START));
        assert_eq!(file("/bin/no\nExecStart=\nExecStart=/a gateway").start(), Ok("/a gateway"));
        for wrong in [
            "/a gateway\nExecStart=/b gateway",
            "-/a gateway",
            "/a run",
            "/a gateway ; /bin/sh -c id",
            "/a gateway \u{1b}[2J",
            "",
            &format!("/a gateway {}", "x".repeat(5000)),
        ] {
            assert!(file(wrong).start().is_err(), "{wrong}");
        }
        // What goes on in the next line is one line for systemd, and for us.
        let long = UnitFile::parse("[Service]\nExecStart=/a \\\n gateway\n[Install]\nExecStart=/b\n");
        assert_eq!(long.start(), Ok("/a   gateway"));
    }

    #[test]
    fn the_last_port_counts() {
        assert_eq!(file(START).port(), Some(18_789));
        assert_eq!(file(&format!("{START} --port 28789")).port(), Some(28_789));
        assert_eq!(file("/a gateway --port=7").port(), Some(7));
        let variable = "/a gateway\nEnvironment=A=1 \"OPENCLAW_GATEWAY_PORT=9\"";
        assert_eq!(file(variable).port(), Some(9));
        assert_eq!(file("/a gateway").port(), None);
    }

    #[test]
    fn a_drop_in_has_the_command_and_the_record() {
        let before_it = Runtime { port: Some(7), unit: None };
        let text = drop_in(START, 28_789, &before_it);
        assert_eq!(UnitFile::parse(&text).starts, [format!("{START} --port 28789")]);
        assert_eq!(UnitFile::parse(&text).port(), Some(28_789));
        assert_eq!(before(&text), before_it);
        assert_eq!(before("[Service]\n"), Runtime::default());
    }

    #[test]
    fn another_world_is_passed_on_if_it_is_plain() {
        let of = |env: &str| world(&file(&format!("/a gateway\nEnvironment={env}")));
        assert_eq!(of("HOME=/h"), Ok(None));
        let text =
            of("\"OPENCLAW_STATE_DIR=/h/.openclaw-work\" OPENCLAW_CONFIG_PATH=/h/c.json").unwrap().unwrap();
        assert!(text.ends_with(
            "[Service]\nEnvironment=OPENCLAW_STATE_DIR=/h/.openclaw-work\nEnvironment=OPENCLAW_CONFIG_PATH=/h/c.json\n"
        ));
        for wrong in ["/h/a%h", "h", "/h/$x", "/h/\u{e9}", "/h\\x20"] {
            assert!(of(&format!("OPENCLAW_HOME={wrong}")).is_err(), "{wrong}");
        }
        assert!(of("\"OPENCLAW_HOME=/h/a b\"").is_err());
    }

    #[test]
    fn secrets_are_not_shown() {
        for line in ["--token abc", "--token=abc", "\"--password=abc d\"", "--password 'abc d' --port 1"] {
            let shown = redacted(&format!("x\nExecStart=/a gateway {line}\ny"));
            assert!(!shown.contains("abc") && !shown.contains(" d"), "{shown}");
            assert!(shown.starts_with("x\nExecStart=/a gateway ") && shown.ends_with(" ...\ny"), "{shown}");
        }
    }
}
