//! The report: for people, worst things with their commands below them; for machines, one object.

use serde_json::{Value, json};

use super::finding::{Finding, Level, Outcome};
use crate::cli::command::Form;
use crate::cli::json::pretty;
use crate::cli::screen::{Screen, Span, Tone};

/// All outcomes in this form.
pub(super) fn show(outcomes: &[(&str, Outcome)], form: Form) -> String {
    match form {
        Form::Json => pretty(&to_json(outcomes).to_string()) + "\n",
        Form::Text { colour } => {
            let mut screen = Screen::new(colour, 0);
            for (check, outcome) in outcomes {
                draw(&mut screen, check, outcome);
            }
            sum(&mut screen, outcomes);
            screen.finish()
        }
    }
}

fn to_json(outcomes: &[(&str, Outcome)]) -> Value {
    let ok = outcomes.iter().all(|(_, outcome)| outcome.count(Level::Fault) == 0);
    let checks: Vec<Value> = outcomes.iter().map(|(check, outcome)| outcome.to_json(check)).collect();
    json!({"ok": ok, "checks": checks})
}

/// The check's name once, then a line for each thing.
fn draw(screen: &mut Screen, check: &str, outcome: &Outcome) {
    let mut name = check;
    let mut lead = || std::mem::take(&mut name);
    match outcome {
        Outcome::Skipped(why) => {
            screen.pair(lead(), &[Span::new("skipped  ", Tone::Dim), why.as_str().into()]);
        }
        Outcome::Looked { saw, findings } => {
            for finding in findings {
                draw_finding(screen, lead(), finding);
            }
            // Facts beside a finding would hide it.
            for fact in saw.iter().filter(|_| findings.iter().all(|finding| finding.level == Level::Note)) {
                screen.pair(lead(), &[Span::new("ok       ", Tone::Good), fact.as_str().into()]);
            }
            if saw.is_empty() && findings.is_empty() {
                screen.pair(lead(), &[Span::new("ok", Tone::Good)]);
            }
        }
    }
}

fn draw_finding(screen: &mut Screen, lead: &str, finding: &Finding) {
    let (word, tone) = match finding.level {
        Level::Fault => ("fault    ", Tone::Bad),
        Level::Warning => ("warning  ", Tone::Warn),
        Level::Note => ("note     ", Tone::Plain),
    };
    screen.pair(lead, &[Span::new(word, tone), finding.text.as_str().into()]);
    if let Some(why) = &finding.why {
        screen.pair("", &[INDENT.into(), Span::new(why, Tone::Dim)]);
    }
    for command in &finding.mend {
        screen.pair("", &[INDENT.into(), "$ ".into(), Span::new(command, Tone::Bold)]);
    }
}

fn sum(screen: &mut Screen, outcomes: &[(&str, Outcome)]) {
    let count = |level| outcomes.iter().map(|(_, outcome)| outcome.count(level)).sum::<usize>();
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    let skipped = outcomes.iter().filter(|(_, outcome)| outcome.status() == "skipped").count();
    let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let mut words = vec![many(faults, "fault"), many(warnings, "warning")];
    if skipped > 0 {
        words.push(format!("{} skipped", many(skipped, "check")));
    }
    screen.gap();
    let tone = if faults > 0 { Tone::Bad } else { Tone::Good };
    screen.line(&[Span::new(&words.join(", "), tone)]);
}

/// As wide as the words of the levels.
const INDENT: &str = "         ";

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes() -> Vec<(&'static str, Outcome)> {
        let finding = Finding::fault("nobody listens").because("it is off").mend("systemctl start x");
        vec![
            ("port", Outcome::looked(vec!["a fact".into()], vec![finding])),
            ("clock", Outcome::ok("0 ms apart")),
            ("linger", Outcome::Skipped("needs root".into())),
        ]
    }

    #[test]
    fn people_see_commands_below_faults() {
        let text = show(&outcomes(), Form::Text { colour: false });
        let want = "\
port        fault    nobody listens
                     it is off
                     $ systemctl start x
clock       ok       0 ms apart
linger      skipped  needs root

1 fault, 0 warnings, 1 check skipped
";
        assert_eq!(text, want);
    }

    #[test]
    fn machines_see_an_object() {
        let value: Value = serde_json::from_str(&show(&outcomes(), Form::Json)).unwrap();
        assert_eq!(value["ok"], false);
        let port = &value["checks"][0];
        assert_eq!(
            (&port["check"], &port["status"], &port["facts"][0]),
            (&json!("port"), &json!("fault"), &json!("a fact"))
        );
        assert_eq!(port["findings"][0]["mend"], json!(["systemctl start x"]));
        assert_eq!(value["checks"][2]["status"], "skipped");
    }
}
