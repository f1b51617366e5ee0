//! loopgated(8).

use std::collections::BTreeSet;

use loopgate::args::HELP;
use loopgate::clock::millis;
use loopgate::config::exit::EXITS;
use loopgate::gateway::http::ROUTES;
use loopgate::gateway::method::METHODS;
use loopgate::limits::{CLOSING, HANDSHAKE, HEAD, RELAY_DIAL, RELAY_PEER, RELAY_RUNTIME};
use loopgate::policy::passage::PASSAGES;
use loopgate::policy::rules::ADMISSION;
use loopgate::session::{Deadline, PHASES};

use crate::page::Page;
use crate::source::{code, first_arguments, literals};

fn page() -> Page {
    Page::read("loopgated.8")
}

#[test]
fn phases_have_their_deadlines_and_limits() {
    let items = page().items("PHASES OF A CONNECTION");
    assert_eq!(items.len(), PHASES.len());
    for (item, row) in items.iter().zip(PHASES) {
        assert_eq!(item.head, row.name);
        item.says(row.doc);
        item.says(row.on_deadline.trim_start_matches("none: "));
        item.says(&match row.deadline {
            Deadline::None => "no deadline".to_owned(),
            Deadline::Head => format!("deadline: head, {} ms from the first byte", millis(HEAD.default)),
            Deadline::Handshake => {
                format!("deadline: handshake, {} ms from accept", millis(HANDSHAKE.default))
            }
            Deadline::Closing => format!("deadline: closing, {} ms from the entry", millis(CLOSING.default)),
            Deadline::Relay => format!(
                "deadline: relay, from the last byte that came or went: {} ms for reaching the runtime, {} ms for a \
                 peer that is to send or to take something, {} ms",
                millis(RELAY_DIAL),
                millis(RELAY_PEER),
                millis(RELAY_RUNTIME)
            ),
        });
        item.says(&match row.bytes_max {
            0 => "what comes is thrown away".to_owned(),
            bytes => format!("at most {bytes} bytes"),
        });
    }
}

#[test]
fn rules_stand_in_reading_order_with_condition_and_remedy() {
    let items = page().items("ADMISSION");
    assert_eq!(items.len(), ADMISSION.len());
    for (item, rule) in items.iter().zip(ADMISSION) {
        let (effect, stage) = (rule.effect().name(), rule.stage.name());
        assert_eq!(item.head, format!("{} ({effect} at {stage})", rule.name));
        item.says(&format!("{}.", rule.when));
        assert_eq!(item.body.contains("Remedy:"), !rule.remedy.is_empty(), "{}", rule.name);
        item.says(rule.remedy);
    }
}

#[test]
fn exit_statuses() {
    let items = page().items("EXIT STATUS");
    assert_eq!(items.len(), EXITS.len());
    for (item, row) in items.iter().zip(EXITS) {
        assert_eq!(item.head, format!("{} ({})", row.exit.code(), row.name));
        item.says(row.meaning);
    }
}

#[test]
fn options_and_tables_are_those_of_help() {
    let dashed = |word: &&str| word.starts_with('-') && word.len() > 1;
    let name =
        |word: &str| word.trim_matches(|c: char| "[],".contains(c)).split('=').next().unwrap().to_owned();
    let told: BTreeSet<String> =
        HELP.split_whitespace().map(|word| word.trim_start_matches('[')).filter(dashed).map(name).collect();
    let items = page().items("DESCRIPTION");
    let heads = items.iter().flat_map(|item| item.head.split_whitespace().map(name).collect::<Vec<_>>());
    assert_eq!(heads.collect::<BTreeSet<_>>(), told);

    let dump = items.iter().find(|item| item.head.starts_with("--dump")).unwrap();
    let (_, tables) = HELP.split_once("exit: phases").unwrap();
    let (tables, _) = tables.split_once("--version").unwrap();
    let tables: Vec<&str> =
        tables.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).collect();
    assert!(tables.contains(&"exit-codes") && tables.len() > 5, "{tables:?}");
    for table in tables {
        dump.says(table);
    }
}

#[test]
fn routes() {
    let items = page().items("HTTP");
    let told: Vec<String> =
        items.iter().flat_map(|item| item.head.split(", ").map(str::to_owned).collect::<Vec<_>>()).collect();
    let routes: Vec<&str> = ROUTES.iter().map(|row| row.path).collect();
    assert_eq!(told, routes);
    let prose = page().prose("HTTP");
    for row in ROUTES {
        assert!(prose.contains(row.rule), "{}: the manual lacks {:?}", row.path, row.rule);
    }
}

/// Why each method is answered by whom: the manual has every reason under its route, and no route that no method has.
#[test]
fn who_answers_methods_and_why() {
    let items = page().items("METHODS");
    let routes: BTreeSet<&str> = METHODS.iter().map(|row| row.route.name()).collect();
    assert_eq!(items.iter().map(|item| item.head.as_str()).collect::<BTreeSet<_>>(), routes);
    for row in METHODS {
        let item = items.iter().find(|item| item.head == row.route.name()).unwrap();
        item.says(&format!("{}.", row.why));
    }
}

#[test]
fn passages() {
    let items = page().items("HTTP OF THE RUNTIME");
    for (item, row) in items.iter().zip(PASSAGES) {
        assert_eq!(item.head, row.name);
        item.says(row.doc);
        item.says(&format!("for {}", row.access.name()));
        assert_eq!(item.body.contains("GET and HEAD alone"), row.reads_only, "{}", row.name);
        assert_eq!(item.body.contains("WebSockets too"), row.upgrades, "{}", row.name);
        item.says(&format!("Paths: {}.", row.paths.join(", ")));
    }
    let rules = items.iter().skip(PASSAGES.len()).map(|item| item.head.clone()).collect::<BTreeSet<_>>();
    assert_eq!(rules, first_arguments(&code("src/policy/passage.rs"), "Refusal::new"));
}

#[test]
fn listener_names() {
    let source = code("src/daemon/activation.rs");
    let (_, names) = source.split_once("NAMES: &[&str] = &[").unwrap();
    let (names, _) = names.split_once(']').unwrap();
    let names = names.split(", ").map(|name| name.trim_matches('"').to_owned()).collect::<Vec<_>>();
    assert_eq!(page().heads("ACTIVATION"), names);
}

#[test]
fn signals() {
    let source = code("src/daemon/signal.rs");
    let caught: BTreeSet<&str> = source
        .split("Signal::")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_uppercase()).next().unwrap())
        .filter(|name| name.starts_with("SIG"))
        .collect();
    let heads = page().heads("SIGNALS").join(", ");
    assert_eq!(heads.split(", ").collect::<BTreeSet<_>>(), caught);
}

#[test]
fn variables() {
    let is_variable = |text: &str| {
        let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let known = ["OPENCLAW_", "CLAWDBOT_", "LOOPGATE_", "LISTEN_", "XDG_", "SYSTEMD_"];
        text.chars().all(word)
            && (known.iter().any(|start| text.starts_with(start))
                || text.ends_with("_DIRECTORY")
                || ["HOME", "NOTIFY_SOCKET"].contains(&text))
    };
    let read = literals(&(code("src/config") + &code("src/daemon")), is_variable);
    assert!(read.len() > 15, "{read:?}");
    let prose = page().prose("ENVIRONMENT");
    let words = prose.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let told: BTreeSet<String> = words.filter(|word| is_variable(word)).map(str::to_owned).collect();
    assert_eq!(told, read);
}
