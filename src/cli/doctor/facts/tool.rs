//! Other programs and small files: bounded, without the caller's environment, in plain English.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use super::who::User;

/// The time that all looks together may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    until: Instant,
    share: Duration,
}

/// A program to be asked.
pub(crate) struct Tool {
    name: &'static str,
    command: Option<Command>,
}

/// What a program that ended said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether it ended with status 0.
    pub ok: bool,
    /// Its output, cut at [`OUTPUT_BYTES_MAX`].
    pub out: String,
    /// The first line of its complaints.
    pub complaint: String,
}

/// Why a program said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is not there.
    Missing(&'static str),
    /// It did not end in time.
    Late(&'static str),
    /// It ended with an error, or could not be started.
    Failed(&'static str, String),
}

impl Patience {
    /// Starts the clock.
    pub(crate) fn new() -> Self {
        Self { until: Instant::now() + WHOLE, share: SHARE }
    }

    /// For one program that does something, and may take its time.
    pub(crate) fn within(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, share: limit }
    }

    /// The time for one look: its usual share, or what is left.
    pub(crate) fn share(self) -> Duration {
        self.until.saturating_duration_since(Instant::now()).min(self.share)
    }
}

impl Tool {
    /// The program of this name in the system's own folders: `PATH` is the caller's, and root's doctor is not to run
    /// what lies in it.
    pub(crate) fn new(name: &'static str) -> Self {
        let path = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
        let command = path.map(|path| {
            let mut command = Command::new(path);
            command.env_clear().env("PATH", FOLDERS.join(":")).envs(PLAIN).current_dir("/");
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        });
        Self { name, command }
    }

    /// The same with arguments.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.as_mut().map(|command| command.args(args));
        self
    }

    /// The same with a variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.as_mut().map(|command| command.env(name, value));
        self
    }

    /// The program of this name, run as another user. Only root can. In a session of its own: that user may take hold of
    /// the process, and must not get root's terminal with it.
    pub(crate) fn of_user(name: &'static str, user: &User) -> Self {
        let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid)];
        let tool = Self::new("setsid").args(&["--", "setpriv"]);
        Self { name, ..tool.args(&ids.each_ref().map(String::as_str)).args(&["--clear-groups", "--", name]) }
    }

    /// Runs it to its end; an error status is a [`Silence`].
    pub(crate) fn run(self, patience: Patience) -> Result<Said, Silence> {
        let name = self.name;
        let said = self.hear(patience)?;
        if said.ok { Ok(said) } else { Err(Silence::Failed(name, said.complaint)) }
    }

    /// Runs it to its end, whatever its status.
    pub(crate) fn hear(self, patience: Patience) -> Result<Said, Silence> {
        let name = self.name;
        let Some(mut command) = self.command else { return Err(Silence::Missing(name)) };
        let limit = patience.share();
        if limit.is_zero() {
            return Err(Silence::Late(name));
        }
        let deadline = Instant::now() + limit;
        let mut child = command.spawn().map_err(|error| Silence::Failed(name, error.to_string()))?;
        let (out, err) = (drain(child.stdout.take()), drain(child.stderr.take()));
        // The output ends with the program, unless it left children behind that hold the pipe: a deadline for both.
        let left = || deadline.saturating_duration_since(Instant::now());
        let out = out.recv_timeout(left());
        let ok = ended(&mut child, deadline);
        let (Ok(out), Some(ok)) = (out, ok) else {
            child.kill().ok();
            child.wait().ok();
            return Err(Silence::Late(name));
        };
        let err = err.recv_timeout(left()).unwrap_or_default();
        // What systemctl has done with links it says in the same place.
        let is_fault = |line: &&str| !line.is_empty() && !DONE.iter().any(|done| line.starts_with(done));
        let complaint = err.lines().map(str::trim).find(is_fault).unwrap_or_default();
        Ok(Said { ok, out, complaint: complaint.chars().take(COMPLAINT_CHARS_MAX).collect() })
    }
}

impl Silence {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Missing(name) => format!("there is no {name} on this machine"),
            Self::Late(name) => format!("{name} did not answer in time"),
            Self::Failed(name, cause) if cause.is_empty() => format!("{name} failed"),
            Self::Failed(name, cause) => format!("{name}: {cause}"),
        }
    }

    /// Whether somebody was there and did not answer: a finding of its own.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Self::Late(_))
    }
}

/// The text of a small regular file, as far as it is UTF-8.
pub(crate) fn read(path: &Path, max: u64) -> Result<String, String> {
    read_of(path, max, None)
}

/// The same, if it belongs to `owner`. Root reads what others name, and what they may not read themselves must not come
/// to them by that way: neither in a message, nor as a secret that is sent to their gateway.
pub(crate) fn read_of(path: &Path, max: u64, owner: Option<u32>) -> Result<String, String> {
    // What a user lets root open may be a FIFO, which waits for a writer, or a device, which acts when it is opened: the
    // file is found first, and opened only when it is known what it is.
    let found = OpenOptions::new().read(true).custom_flags(O_PATH).open(path);
    let found = found.map_err(|error| cause(&error))?;
    if !found.metadata().map_err(|error| cause(&error))?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let file = std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd()));
    let file = file.map_err(|error| cause(&error))?;
    let meta = file.metadata().map_err(|error| cause(&error))?;
    if owner.is_some_and(|owner| owner != meta.uid()) {
        return Err(format!("it belongs to user {}", meta.uid()));
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| cause(&error))?;
    if bytes.len() as u64 > max {
        return Err(format!("larger than {max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "not valid UTF-8".to_owned())
}

/// The names in a folder, sorted; none if it cannot be read.
pub(crate) fn list(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(ENTRIES_MAX);
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

/// The cause of an error in words.
pub(crate) fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

/// All that `pipe` gives, told when it ends.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::sync::mpsc::Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What is beyond is not read: the program gets SIGPIPE.
            pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes).ok();
        }
        sender.send(String::from_utf8_lossy(&bytes).into_owned()).ok();
    });
    receiver
}

/// Whether the program ended well; `None` if it does not end.
fn ended(child: &mut Child, deadline: Instant) -> Option<bool> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(PAUSE),
            Ok(None) | Err(_) => return None,
        }
    }
}

const FOLDERS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
const PLAIN: [(&str, &str); 4] =
    [("LC_ALL", "C.UTF-8"), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_URLIFY", "0")];
/// One program; a busy service manager answers in tens of milliseconds.
const SHARE: Duration = Duration::from_secs(2);
/// All of them together.
const WHOLE: Duration = Duration::from_secs(8);
/// Between two looks at a program whose output has ended.
const PAUSE: Duration = Duration::from_millis(2);
/// A day of refusals in the journal.
pub(crate) const OUTPUT_BYTES_MAX: u64 = 2 << 20;
const DONE: [&str; 2] = ["Created symlink ", "Removed "];
const COMPLAINT_CHARS_MAX: usize = 200;
const ENTRIES_MAX: usize = 4096;
/// The same on every architecture that Debian 12 and 13 have.
const O_PATH: i32 = 0o10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_heard() {
        let said = Tool::new("env").env("X", "1").run(Patience::new()).unwrap();
        assert!(said.out.contains("LC_ALL=C.UTF-8\n") && said.out.contains("X=1\n"), "{said:?}");
        assert!(!said.out.contains("HOME="), "the caller's environment stays out: {said:?}");
        let failed = Tool::new("ls").args(&["/no/such/place"]).run(Patience::new()).unwrap_err();
        assert!(failed.words().contains("No such file"), "{failed:?}");
        assert_eq!(Tool::new("no-such-tool").run(Patience::new()), Err(Silence::Missing("no-such-tool")));
    }

    #[test]
    fn a_program_that_hangs_is_ended() {
        let start = Instant::now();
        let patience = Patience::within(Duration::from_millis(100));
        assert_eq!(Tool::new("sleep").args(&["60"]).run(patience), Err(Silence::Late("sleep")));
        // It closes its output, and goes on.
        let silent = Tool::new("sh").args(&["-c", "exec >&- 2>&-; exec sleep 60"]).run(patience);
        assert_eq!(silent, Err(Silence::Late("sh")));
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn only_small_regular_files_are_read() {
        assert!(read(Path::new("/dev/zero"), 10).is_err());
        assert!(read(Path::new("/proc/self/status"), 1).unwrap_err().starts_with("larger"));
        let other = read_of(Path::new("/proc/self/status"), 1 << 20, Some(u32::MAX));
        assert!(other.unwrap_err().starts_with("it belongs to user"));
        assert_eq!(read(Path::new("/no/such"), 1), Err("no such file or directory".to_owned()));
    }
}
