//! Which commands a node may offer and be asked for: the one table of node commands.
//!
//! Rule: a command that is not in the table for the node's platform needs the setting `gateway.nodes.allowCommands`;
//! `gateway.nodes.denyCommands` has the last word. Facts: protocol.md 6.6; of what OpenClaw 2026.9.6 added, only
//! commands that need admin are here.

use crate::config::gateway::Nodes as Settings;

/// The platforms that the table tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Phones and tablets of Apple.
    Ios,
    /// Phones and tablets with Android.
    Android,
    /// Macs.
    Macos,
    /// PCs with Windows.
    Windows,
    /// PCs and servers with Linux.
    Linux,
    /// Everything else.
    Unknown,
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The wire name.
    pub name: &'static str,
    /// Where it is allowed without a setting.
    pub platforms: &'static [Platform],
}

/// Why a node may not be asked for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Neither the table nor the settings allow it.
    NotAllowed,
    /// The node offers other commands.
    NotOffered,
    /// The node offers nothing, or nothing was approved.
    NothingOffered,
}

impl Platform {
    /// The platform of a node by what it says of itself: the system's name, else the device's family.
    pub fn of(platform: &str, family: Option<&str>) -> Self {
        let platform = platform.trim().to_ascii_lowercase();
        if let Some((_, found)) = PREFIXES.iter().find(|(prefix, _)| platform.starts_with(prefix)) {
            return *found;
        }
        let family = family.unwrap_or_default().to_ascii_lowercase();
        FAMILIES.iter().find(|(word, _)| family.contains(word)).map_or(Self::Unknown, |(_, found)| *found)
    }
}

impl Refused {
    /// The name in `details.reason`.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAllowed => "command not allowlisted",
            Self::NotOffered => "command not declared by node",
            Self::NothingOffered => "node did not declare commands",
        }
    }

    /// The message of the error answer.
    pub fn message(self, command: &str, platform: &str) -> String {
        match self {
            Self::NotAllowed => {
                format!(
                    "node command not allowed: \"{command}\" is not in the allowlist for platform \"{platform}\""
                )
            }
            Self::NotOffered => {
                format!(
                    "node command not allowed: the node (platform: {platform}) does not support \"{command}\""
                )
            }
            Self::NothingOffered => {
                "node command not allowed: the node did not declare any supported commands".to_owned()
            }
        }
    }
}

/// Whether a node of this platform may offer a command.
pub fn is_allowed(command: &str, platform: Platform, settings: &Settings) -> bool {
    let named = |list: &[String]| list.iter().any(|name| name == command);
    let in_table = || COMMANDS.iter().any(|row| row.name == command && row.platforms.contains(&platform));
    !named(&settings.deny_commands) && (named(&settings.allow_commands) || in_table())
}

/// Whether a call of this command takes `operator.admin`: it reaches the owner's browser or files.
pub fn needs_admin(command: &str) -> bool {
    ADMIN_ONLY.contains(&command)
}

/// Whether a command is called through methods of its own, never through `node.invoke`.
pub fn is_reserved(command: &str) -> bool {
    matches!(command, "system.execApprovals.get" | "system.execApprovals.set")
}

/// Commands whose direct call takes `operator.admin`, as in OpenClaw 2026.9.6.
const ADMIN_ONLY: &[&str] = &["browser.proxy", "browser.proxy.upload.v1", "fs.listDir", "terminal.upload"];

const DESKTOP: &[Platform] = &[Platform::Macos, Platform::Windows, Platform::Linux];
const PERSONAL: &[Platform] = &[Platform::Ios, Platform::Android, Platform::Macos];
const SCREENED: &[Platform] = &[Platform::Ios, Platform::Android, Platform::Macos, Platform::Unknown];
const ANDROID: &[Platform] = &[Platform::Android];
const EVERYWHERE: &[Platform] = &[
    Platform::Ios,
    Platform::Android,
    Platform::Macos,
    Platform::Windows,
    Platform::Linux,
    Platform::Unknown,
];

const fn row(name: &'static str, platforms: &'static [Platform]) -> Row {
    Row { name, platforms }
}

/// All commands that need no setting, sorted by name. Never among them: `camera.snap`, `camera.clip`, `screen.record`,
/// `contacts.add`, `calendar.add`, `reminders.add`, `sms.send`.
pub const COMMANDS: &[Row] = &[
    row("browser.proxy", DESKTOP),
    row("browser.proxy.upload.v1", DESKTOP),
    row("calendar.events", PERSONAL),
    row("camera.list", SCREENED),
    row("canvas.a2ui.push", SCREENED),
    row("canvas.a2ui.pushJSONL", SCREENED),
    row("canvas.a2ui.reset", SCREENED),
    row("canvas.eval", SCREENED),
    row("canvas.hide", SCREENED),
    row("canvas.navigate", SCREENED),
    row("canvas.present", SCREENED),
    row("canvas.snapshot", SCREENED),
    row("contacts.search", PERSONAL),
    row("device.health", ANDROID),
    row("device.info", PERSONAL),
    row("device.permissions", ANDROID),
    row("device.status", PERSONAL),
    row("fs.listDir", DESKTOP),
    row("location.get", SCREENED),
    row("motion.activity", PERSONAL),
    row("motion.pedometer", PERSONAL),
    row("notifications.actions", ANDROID),
    row("notifications.list", ANDROID),
    row("photos.latest", PERSONAL),
    row("reminders.list", PERSONAL),
    row("system.notify", EVERYWHERE),
    row("system.run", DESKTOP),
    row("system.run.prepare", DESKTOP),
    row("system.which", DESKTOP),
    row("terminal.upload", DESKTOP),
];

const PREFIXES: &[(&str, Platform)] = &[
    ("ios", Platform::Ios),
    ("ipados", Platform::Ios),
    ("android", Platform::Android),
    ("mac", Platform::Macos),
    ("darwin", Platform::Macos),
    ("win", Platform::Windows),
    ("linux", Platform::Linux),
];

const FAMILIES: &[(&str, Platform)] = &[
    ("iphone", Platform::Ios),
    ("ipad", Platform::Ios),
    ("ios", Platform::Ios),
    ("android", Platform::Android),
    ("mac", Platform::Macos),
    ("windows", Platform::Windows),
    ("linux", Platform::Linux),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::gateway::BrowserMode;

    fn settings(allow: &[&str], deny: &[&str]) -> Settings {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Settings {
            allow_commands: names(allow),
            deny_commands: names(deny),
            browser_mode: BrowserMode::Auto,
            browser_node: None,
        }
    }

    #[test]
    fn the_table_is_sorted_and_leaves_out_what_is_never_a_default() {
        for pair in COMMANDS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        let never = [
            "camera.snap",
            "camera.clip",
            "screen.record",
            "contacts.add",
            "calendar.add",
            "reminders.add",
            "sms.send",
        ];
        for name in never {
            assert!(COMMANDS.iter().all(|row| row.name != name), "{name}");
        }
    }

    /// The sets of protocol.md 6.6, by platform.
    #[test]
    fn each_platform_has_its_set() {
        let system = ["browser.proxy", "system.notify", "system.run", "system.run.prepare", "system.which"];
        let none = settings(&[], &[]);
        let cases = [
            ("linux", None, &system[..], &["camera.list", "canvas.eval"][..]),
            ("win32", None, &system, &["camera.list", "device.info"]),
            ("darwin", None, &system, &["notifications.list", "device.health"]),
            ("MacIntel", None, &["canvas.eval", "camera.list", "motion.pedometer"], &["device.permissions"]),
            (
                "ios 18.1",
                None,
                &["canvas.eval", "system.notify", "photos.latest"],
                &["system.run", "browser.proxy"],
            ),
            ("Android 15", None, &["notifications.list", "device.health"], &["system.which"]),
            (
                "freebsd",
                None,
                &["camera.list", "location.get", "canvas.hide", "system.notify"],
                &["system.run"],
            ),
            ("", Some("iPhone 15"), &["photos.latest"], &["system.run"]),
            ("", Some("Linux"), &["system.run"], &["photos.latest"]),
        ];
        for (name, family, yes, no) in cases {
            let platform = Platform::of(name, family);
            for command in yes {
                assert!(is_allowed(command, platform, &none), "{name} {command}");
            }
            for command in no {
                assert!(!is_allowed(command, platform, &none), "{name} {command}");
            }
        }
    }

    #[test]
    fn the_settings_add_and_have_the_last_word() {
        let set = settings(&["camera.snap", "system.run"], &["system.run", "system.which"]);
        assert!(is_allowed("camera.snap", Platform::Linux, &set));
        assert!(!is_allowed("system.run", Platform::Linux, &set));
        assert!(!is_allowed("system.which", Platform::Linux, &set));
        assert!(is_allowed("system.notify", Platform::Linux, &set));
    }
}
