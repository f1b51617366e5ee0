//! What to do, as words: `mode=kills manager=user sessions=500 rounds=200`.

use std::collections::BTreeMap;
use std::time::Duration;

/// Where the words stand.
pub const VARIABLE: &str = "LOOPGATE_STORM";

/// How the daemon is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `systemctl restart` under load.
    Restarts,
    /// SIGKILL at random instants under load.
    Kills,
    /// One restart and one SIGKILL over many idle sessions.
    Idle,
    /// Many short connections, and what is left of them.
    Leak,
    /// SIGSTOP, until the watchdog ends it.
    Watchdog,
    /// Connects per second with and without hand-over.
    Floods,
    /// Another version of the package, and back, under load.
    Upgrades,
}

/// Whose units serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// The system's own instance.
    System,
    /// The instance in a user's manager.
    User,
    /// The system's instance that acts for a user.
    Template,
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub mode: Mode,
    pub manager: Manager,
    /// Sessions that call steadily.
    pub sessions: usize,
    /// Sessions that do nothing.
    pub idle: usize,
    /// Connections at once that come, call once and go.
    pub visitors: usize,
    /// Restarts, kills or freezes.
    pub rounds: usize,
    /// Short connections of the leak test.
    pub connects: usize,
    /// How long one measurement of the flood lasts.
    pub span: Duration,
    /// Where chance begins.
    pub seed: u64,
}

impl Plan {
    /// # Errors
    /// What is wrong with the words.
    pub fn parse(words: &str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for word in words.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or(format!("{word} is no KEY=VALUE"))?;
            given.insert(key, value);
        }
        let mode = match given.remove("mode") {
            Some("restarts") => Mode::Restarts,
            Some("kills") => Mode::Kills,
            Some("idle") => Mode::Idle,
            Some("leak") => Mode::Leak,
            Some("watchdog") => Mode::Watchdog,
            Some("floods") => Mode::Floods,
            Some("upgrades") => Mode::Upgrades,
            other => return Err(format!("mode={} is none", other.unwrap_or_default())),
        };
        let mut plan = Self::bounded(mode);
        plan.manager = match given.remove("manager") {
            None | Some("system") => Manager::System,
            Some("user") => Manager::User,
            Some("template") => Manager::Template,
            Some(other) => return Err(format!("manager={other}: say system, user or template")),
        };
        let mut seconds = 0;
        let mut seed = 0;
        for (key, place) in [
            ("sessions", &mut plan.sessions),
            ("idle", &mut plan.idle),
            ("visitors", &mut plan.visitors),
            ("rounds", &mut plan.rounds),
            ("connects", &mut plan.connects),
            ("seconds", &mut seconds),
            ("seed", &mut seed),
        ] {
            if let Some(value) = given.remove(key) {
                *place = value.parse().map_err(|_| format!("{key}={value} is no number"))?;
            }
        }
        if seconds > 0 {
            plan.span = Duration::from_secs(seconds as u64);
        }
        plan.seed = if seed > 0 { seed as u64 } else { crate::live::unix_ms() };
        match given.keys().next() {
            Some(key) => Err(format!("{key} is not known")),
            None => Ok(plan),
        }
    }

    /// The form for every day: seconds, not minutes.
    fn bounded(mode: Mode) -> Self {
        let plan = Self {
            mode,
            manager: Manager::System,
            sessions: 50,
            idle: 50,
            visitors: 4,
            rounds: 20,
            connects: 5_000,
            span: Duration::from_secs(2),
            seed: 0,
        };
        match mode {
            Mode::Restarts => plan,
            // Longer than it takes until clients are pinged.
            Mode::Kills => Self { rounds: 25, ..plan },
            Mode::Idle => Self { sessions: 0, idle: 1_000, visitors: 2, ..plan },
            Mode::Leak => Self { sessions: 0, idle: 0, visitors: 32, ..plan },
            Mode::Watchdog => Self { rounds: 1, ..plan },
            Mode::Floods => Self { sessions: 0, idle: 0, visitors: 32, rounds: 3, ..plan },
            Mode::Upgrades => Self { sessions: 200, ..plan },
        }
    }
}

impl Manager {
    pub fn flag(self) -> &'static str {
        if self == Self::User { "--user" } else { "" }
    }

    pub fn service(self) -> &'static str {
        if self == Self::Template { "loopgate@tester.service" } else { "loopgate.service" }
    }

    pub fn socket(self) -> &'static str {
        if self == Self::Template { "loopgate@tester.socket" } else { "loopgate.socket" }
    }
}

#[test]
fn words_make_a_plan() {
    let plan = Plan::parse("mode=kills manager=user sessions=500 rounds=200 seed=7").expect("a plan");
    assert_eq!(plan.mode, Mode::Kills);
    assert_eq!(plan.manager, Manager::User);
    assert_eq!((plan.sessions, plan.idle, plan.rounds, plan.seed), (500, 50, 200, 7));
    for wrong in
        ["", "mode=none", "mode=kills rounds=x", "mode=kills round=1", "mode=kills manager=both", "kills"]
    {
        assert!(Plan::parse(wrong).is_err(), "{wrong}");
    }
}
