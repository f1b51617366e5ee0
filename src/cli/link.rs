//! Calls that outlive a restart of the gateway: a connection, opened when first needed and again when it breaks.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::client::{Client, Hello, Payload};
use super::exit::Exit;
use super::failure::{Again, Failure, codes};
use super::need;
use super::retry::Budget;
use super::target::Target;
use super::way::{Plan, Way};

/// A connection with patience.
pub(crate) struct Link<'a> {
    plan: &'a Plan<'a>,
    way: Option<Way>,
    /// A socket that was found and is not ours to open.
    denied: Option<Target>,
    client: Option<Client>,
    scopes: Vec<&'static str>,
    limit: Duration,
    budget: Budget,
    /// Whether somebody watches who wants to know why nothing happens.
    notice: bool,
}

impl<'a> Link<'a> {
    /// A link that is not open yet: `limit` for the handshake and for each answer, `wait` for transient failures.
    pub(crate) fn new(plan: &'a Plan<'a>, limit: Duration, wait: Duration, json: bool) -> Self {
        let notice = !json && io::stderr().is_terminal();
        let budget = Budget::new(wait);
        Self { plan, way: None, denied: None, client: None, scopes: Vec::new(), limit, budget, notice }
    }

    /// The time for each answer.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// From now on what `methods` need is asked for too. Before the first call, or it costs another connection.
    pub(crate) fn ask_for(&mut self, methods: &[&str]) {
        for method in methods {
            self.ask_for_scopes(&need::scopes(method));
        }
    }

    /// [`Link::ask_for`] by the names of scopes.
    pub(crate) fn ask_for_scopes(&mut self, scopes: &[&'static str]) {
        for scope in scopes {
            if !self.scopes.contains(scope) {
                self.scopes.push(scope);
                self.client = None;
            }
        }
    }

    /// Calls `method`, as often as its failures are transient and the time lasts.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Result<Payload, Failure> {
        let params = to_raw_value(params).map_err(|error| Failure::usage(error.to_string()))?;
        self.call_raw(method, &params)
    }

    /// [`Link::call`] with params as they were written.
    pub(crate) fn call_raw(&mut self, method: &str, params: &RawValue) -> Result<Payload, Failure> {
        self.ask_for(&[method]);
        let repeatable = need::is_repeatable(method);
        self.patiently(repeatable, |link| {
            let limit = link.limit;
            link.open()?.call(method, params, limit)
        })
    }

    /// What the gateway said when it admitted us; connects first if need be.
    pub(crate) fn hello(&mut self) -> Result<Hello, Failure> {
        self.patiently(true, |link| Ok(link.open()?.hello().clone()))
    }

    /// Where the connection goes, or would go.
    pub(crate) fn way(&mut self) -> Result<&Way, Failure> {
        if self.way.is_none() {
            self.way = Some(self.plan.first()?);
        }
        self.way.as_ref().ok_or_else(|| Failure::config("there is no way to a gateway"))
    }

    /// Ends the connection. The close code and reason of the gateway's goodbye, if it said one.
    pub(crate) fn close(&mut self) -> Option<(u16, String)> {
        self.client.take()?.close()
    }

    /// The one loop of attempts: what is transient is worked at until the budget is used up.
    fn patiently<T>(
        &mut self,
        repeatable: bool,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            let failure = match attempt(self) {
                Ok(value) => {
                    self.budget.reset();
                    return Ok(value);
                }
                Err(failure) => failure,
            };
            // An answer leaves the connection as it was; anything else leaves nothing to use.
            if [codes::CLOSED, codes::TIMEOUT, codes::PROTOCOL].contains(&failure.code.as_ref()) {
                self.client = None;
            }
            let now = Instant::now();
            let Some(pause) = self.budget.pause(failure.again, repeatable, now) else {
                let failure = unsure(failure, repeatable);
                let last = failure.after(self.budget.failures(), self.budget.waited(now));
                self.budget.reset();
                return Err(last);
            };
            self.tell(&failure);
            thread::sleep(pause);
        }
    }

    /// The open connection; makes one if there is none.
    fn open(&mut self) -> Result<&mut Client, Failure> {
        if self.client.is_none() {
            self.client = Some(self.connect()?);
        }
        self.client.as_mut().ok_or_else(|| Failure::protocol("the connection is gone"))
    }

    /// Connects by the best way that is open to us: a socket that was found may be another user's, or left behind by a
    /// unit that is stopped while another one runs.
    fn connect(&mut self) -> Result<Client, Failure> {
        loop {
            let (limit, scopes) = (self.limit, self.scopes.clone());
            let way = self.way()?.clone();
            let failure = match Client::open(&way.target, &way.credentials, &scopes, limit) {
                Ok(client) => return Ok(client),
                Err(failure) => failure,
            };
            let denied = failure.code == "PERMISSION_DENIED";
            if !denied && failure.code != codes::UNREACHABLE {
                return Err(self.with_admission(failure));
            }
            match self.plan.after(&way)? {
                // The port is no way round a socket whose unit is to blame.
                Some(next) if denied || next.target.address.is_owner_door() => self.way = Some(next),
                _ => return Err(failure),
            }
            if denied {
                self.denied.get_or_insert(way.target);
            }
        }
    }

    /// Whoever is refused at the port after a socket was closed to him would rather come by the socket.
    fn with_admission(&self, mut failure: Failure) -> Failure {
        if let Some(denied) = self.denied.as_ref().filter(|_| failure.exit == Exit::Refused) {
            let advice: Vec<String> = denied.admission().iter().map(|&advice| advice.to_owned()).collect();
            failure.next.retain(|known| !advice.contains(known));
            failure.next.splice(0..0, advice);
        }
        failure
    }

    /// Says once why it takes longer, to people.
    fn tell(&mut self, failure: &Failure) {
        if self.notice && self.budget.failures() >= NOTICE_AFTER {
            self.notice = false;
            let line = failure.to_text().lines().next().unwrap_or_default().to_owned();
            writeln!(io::stderr(), "{line}; trying again").ok();
        }
    }
}

/// A request that may have been carried out is not repeated, but whoever asked has to know.
fn unsure(mut failure: Failure, repeatable: bool) -> Failure {
    if failure.again == Again::Repeatable && !repeatable {
        failure.message.push_str("; it may have been carried out all the same");
    }
    failure
}

/// Attempts that fail before people are told: a restart is over sooner.
const NOTICE_AFTER: u32 = 4;
