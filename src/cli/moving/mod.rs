//! `adopt` and `release`: a user's OpenClaw gateway moves behind loopgate, and back.
//!
//! Rule: what will be done is decided and shown before anything is touched. What cannot be checked afterwards is undone.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `look`, `facts` | what there is |
//! | `plan` | what follows from it: the steps, and those that put all back; pure |
//! | `unit_file`, `port`, `step` | the texts, the ports, the steps; pure |
//! | `act`, `check` | doing a step, and seeing whether all answer |

mod act;
mod check;
mod facts;
mod look;
mod plan;
mod port;
mod step;
pub(super) mod unit_file;

use serde_json::{Value, json};

use super::args::Global;
use super::command::{Form, Shown};
use super::doctor::facts::Machine;
use super::doctor::facts::who::User;
use super::exit::Exit;
use super::failure::{Failure, codes};
use super::screen::{Screen, Span, Tone};
use facts::{Facts, Wish};
use plan::Plan;
use step::Step;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Behind loopgate.
    Adopt,
    /// Back.
    Release,
}

impl Way {
    const fn command(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Release => "release",
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Which way.
    pub way: Way,
    /// Whether the plan is all.
    pub dry_run: bool,
    /// The runtime's port, if one is named.
    pub port: Option<u16>,
    /// The gateway's unit, if one is named.
    pub unit: Option<String>,
}

/// How it ended.
#[derive(Debug, Default)]
struct Outcome {
    seen: Vec<String>,
    /// What went wrong.
    fault: Option<String>,
    /// What went wrong while all was put back; none if it was not.
    back: Option<Vec<String>>,
}

/// Does it. `say` gets the plan before it is carried out, if people read it.
pub(super) fn run(
    order: &Order,
    global: &Global,
    form: Form,
    say: &mut dyn FnMut(&str),
) -> Result<Shown, Failure> {
    if global.names_a_way() {
        return Err(Failure::usage(
            "adopt and release ask the service manager, and the ports of this machine",
        )
        .next("leave out --socket, --url and secrets"));
    }
    let machine = Machine::new();
    let user = look::user(&machine, order.way.command())?;
    let wish = Wish { port: order.port, unit: order.unit.clone() };
    let facts = look::facts(&machine, &user, &wish, order.way == Way::Release)?;
    let plan = match order.way {
        Way::Adopt => plan::adopt(&facts, &wish)?,
        Way::Release => plan::release(&facts, &wish),
    };
    let text = |screen: &mut Screen| draw(screen, order, &plan, &facts);
    if let Form::Text { colour } = form {
        let mut screen = Screen::new(colour, 0);
        text(&mut screen);
        say(&screen.finish());
    }
    let outcome =
        if order.dry_run { Outcome::default() } else { carry_out(order.way, &plan, &machine, &user) };
    let failure = outcome.failure(order.way, &plan);
    let shown = match form {
        Form::Json => form.report(&report(order, &plan, &outcome), |_, _| {}),
        Form::Text { colour } => {
            let mut screen = Screen::new(colour, 0);
            draw_outcome(&mut screen, order, &plan, &outcome);
            Shown { text: screen.finish(), failure: None }
        }
    };
    Ok(shown.but(failure))
}

/// All steps, the check, and all back if one of them fails.
fn carry_out(way: Way, plan: &Plan, machine: &Machine, user: &User) -> Outcome {
    let mut done = Ok(());
    for step in &plan.steps {
        done = act::act(step, &machine.caller, user);
        if done.is_err() {
            break;
        }
    }
    let checked = done.and_then(|()| match way {
        Way::Adopt => check::adopted(plan, user),
        Way::Release if plan.returns => check::returned(plan, user),
        Way::Release => Ok(Vec::new()),
    });
    match checked {
        Ok(seen) => Outcome { seen, ..Outcome::default() },
        Err(fault) if plan.steps.is_empty() || plan.back.is_empty() => {
            Outcome { fault: Some(fault), ..Outcome::default() }
        }
        Err(fault) => {
            // Each one, whatever became of the others: the more is as it was, the better.
            let tried = plan.back.iter().map(|step| act::act(step, &machine.caller, user));
            let mut faults: Vec<String> = tried.filter_map(Result::err).collect();
            let mut seen = Vec::new();
            match check::returned(plan, user) {
                _ if !plan.returns => {}
                Ok(back) => seen = back,
                Err(fault) => faults.push(fault),
            }
            Outcome { seen, fault: Some(fault), back: Some(faults) }
        }
    }
}

impl Outcome {
    fn failure(&self, way: Way, plan: &Plan) -> Option<Failure> {
        let fault = self.fault.as_ref()?;
        let unit = plan.unit.as_deref().unwrap_or_default();
        let failed = |words: &str| Failure::new(Exit::Answer, codes::MOVE, format!("{fault}; {words}"));
        Some(match &self.back {
            Some(faults) if faults.is_empty() => failed("everything is as it was before").next(format!(
                "journalctl --user --unit={unit} --unit=loopgate.service --unit=loopgate.socket"
            )),
            Some(faults) => failed(&format!("not everything could be put back: {}", faults.join("; ")))
                .next("loopgate release"),
            None if way == Way::Adopt => failed("nothing was changed").next("loopgate doctor"),
            None => failed("run it again")
                .next("loopgate release")
                .next(format!("systemctl --user status {unit}")),
        })
    }
}

fn report(order: &Order, plan: &Plan, outcome: &Outcome) -> Value {
    let steps: Vec<Value> = plan.steps.iter().map(Step::to_json).collect();
    json!({
        "ok": outcome.fault.is_none(),
        "dryRun": order.dry_run,
        "unit": plan.unit,
        "version": plan.version,
        "port": plan.port,
        "runtimePort": plan.runtime,
        "steps": steps,
        "notes": plan.notes,
        "seen": outcome.seen,
        "fault": outcome.fault,
        "putBack": outcome.back.is_some(),
        "notPutBack": outcome.back.clone().unwrap_or_default(),
    })
}

/// The plan.
fn draw(screen: &mut Screen, order: &Order, plan: &Plan, facts: &Facts) {
    let Some(unit) = &plan.unit else {
        screen.line(&[format!("nothing of {} is behind loopgate", facts.user).into()]);
        return;
    };
    let version = plan.version.as_ref().map(|version| format!(", OpenClaw {version}")).unwrap_or_default();
    screen.pair("gateway", &[format!("{unit} of {}{version}", facts.user).into()]);
    let (from, to) = (plan.port, plan.runtime);
    match order.way {
        Way::Adopt => {
            screen.pair("clients", &[format!("port {from}, which loopgate.socket holds").into()]);
            screen.pair("runtime", &[format!("port {to}, where the gateway is moved").into()]);
        }
        Way::Release => screen.pair("port", &[format!("{from}, which the gateway gets back").into()]),
    }
    let mut lead = "steps";
    for step in &plan.steps {
        screen.pair(std::mem::take(&mut lead), &[step.words().as_str().into()]);
        for line in step.shown_text().iter().flat_map(|text| text.lines()) {
            screen.pair("", &[Span::new(&format!("    {line}"), Tone::Dim)]);
        }
    }
    if plan.steps.is_empty() {
        screen.pair("steps", &["none, all is as it should be".into()]);
    }
    for note in &plan.notes {
        screen.pair("note", &[note.as_str().into()]);
    }
}

fn draw_outcome(screen: &mut Screen, order: &Order, plan: &Plan, outcome: &Outcome) {
    if order.dry_run {
        if !plan.steps.is_empty() {
            screen.line(&["nothing was changed: --dry-run".into()]);
        }
        return;
    }
    if outcome.back.is_some() {
        screen.pair("put back", &[Span::new("the move did not work", Tone::Bad)]);
    }
    for seen in &outcome.seen {
        screen.pair("seen", &[Span::new(seen, Tone::Good)]);
    }
}
