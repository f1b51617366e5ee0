//! Plans, from facts that are made up.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

const START: &str = "/opt/node /opt/openclaw/dist/index.js gateway --port 18789";
const UNIT: &str = "openclaw-gateway.service";
const DROP_IN: &str = "/h/.config/systemd/user/openclaw-gateway.service.d/50-loopgate.conf";

fn unit(start: &str) -> UnitFile {
    UnitFile::parse(&format!("[Service]\nExecStart={start}\nEnvironment=HOME=/h\n"))
}

fn gateway(name: &str, start: &str) -> Gateway {
    Gateway {
        name: name.to_owned(),
        unit: Some(unit(start)),
        version: Some("2026.3.13".to_owned()),
        ours: File { path: DROP_IN.into(), text: None },
        others: Vec::new(),
        enabled: true,
        active: true,
    }
}

/// A user whose gateway runs as its installer has left it.
fn facts() -> Facts {
    Facts {
        user: "alice".to_owned(),
        gateways: vec![gateway(UNIT, START)],
        gate: Some(Gate { port: 18_789, enabled: false, open: false, serves: false }),
        system: Vec::new(),
        conf: File { path: "/h/.config/loopgate/loopgate.conf".into(), text: None },
        world: File {
            path: "/h/.config/systemd/user/loopgate.service.d/50-openclaw.conf".into(),
            text: None,
        },
        config: Config::default(),
        taken: BTreeMap::from([(18_789, Holder::Gateway(UNIT.to_owned()))]),
    }
}

/// The machine after `steps`, as far as a plan looks at it.
fn after(mut facts: Facts, steps: &[Step]) -> Facts {
    for step in steps {
        let gate = facts.gate.as_mut().unwrap();
        match step {
            Step::Write { path, text } => *file(&mut facts, path) = Some(text.clone()),
            Step::Remove(path) => *file(&mut facts, path) = None,
            Step::Run(verb, unit) if unit.as_deref() == Some(GATE_SOCKET) => {
                gate.open = *verb == Verb::Enable;
                gate.enabled = if *verb == Verb::Stop { gate.enabled } else { gate.open };
                let holder = gate.open.then_some(Holder::Gate);
                holder.map(|holder| facts.taken.insert(18_789, holder));
            }
            Step::Run(Verb::Stop, unit) if unit.as_deref() == Some(GATE_SERVICE) => gate.serves = false,
            Step::Run(Verb::Stop, _) => {
                facts.gateways[0].active = false;
                facts.taken.clear();
            }
            Step::Run(Verb::Start, Some(name)) => {
                let ours =
                    facts.gateways[0].ours.text.as_deref().and_then(|text| UnitFile::parse(text).port());
                facts.gateways[0].active = true;
                facts.taken.insert(ours.unwrap_or(18_789), Holder::Gateway(name.clone()));
            }
            Step::Run(..) => {}
        }
    }
    facts
}

fn file<'a>(facts: &'a mut Facts, path: &PathBuf) -> &'a mut Option<String> {
    let Facts { gateways, conf, world, .. } = facts;
    let files = [&mut gateways[0].ours, conf, world];
    &mut files.into_iter().find(|file| file.path == *path).unwrap().text
}

fn words(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.words().replace("/h/.config/", "")).collect()
}

fn refused(facts: &Facts, wish: &Wish) -> String {
    adopt(facts, wish).unwrap_err().message
}

#[test]
fn a_gateway_is_moved_in_this_order() {
    let plan = adopt(&facts(), &Wish::default()).unwrap();
    assert_eq!((plan.port, plan.runtime, plan.returns), (18_789, 28_789, true));
    let want = [
        "write systemd/user/openclaw-gateway.service.d/50-loopgate.conf",
        "write loopgate/loopgate.conf",
        "systemctl --user daemon-reload",
        "systemctl --user stop openclaw-gateway.service",
        "systemctl --user enable --now loopgate.socket",
        "systemctl --user start openclaw-gateway.service",
    ];
    assert_eq!(words(&plan.steps), want);
    let texts: Vec<String> = plan.steps.iter().filter_map(Step::shown_text).collect();
    assert!(texts[0].ends_with(&format!("ExecStart=\nExecStart={START} --port 28789")), "{}", texts[0]);
    assert!(texts[1].contains("runtime: { port: 28789, unit: 'openclaw-gateway.service' }"), "{}", texts[1]);
    let want = [
        "systemctl --user stop openclaw-gateway.service",
        "systemctl --user disable --now loopgate.socket",
        "systemctl --user stop loopgate.service",
        "systemctl --user reset-failed loopgate.socket",
        "systemctl --user reset-failed loopgate.service",
        "remove loopgate/loopgate.conf",
        "remove systemd/user/openclaw-gateway.service.d/50-loopgate.conf",
        "systemctl --user daemon-reload",
        "systemctl --user reset-failed openclaw-gateway.service",
        "systemctl --user start openclaw-gateway.service",
    ];
    assert_eq!(words(&plan.back), want);
}

#[test]
fn from_every_place_where_it_stopped_it_goes_on_or_back() {
    let plan = adopt(&facts(), &Wish::default()).unwrap();
    let whole = after(facts(), &plan.steps);
    assert_eq!(adopt(&whole, &Wish::default()).unwrap().steps, [], "nothing is left to do");
    for done in 0..=plan.steps.len() {
        let found = after(facts(), &plan.steps[..done]);
        let rest = adopt(&found, &Wish::default()).unwrap();
        let moved = after(found.clone(), &rest.steps);
        assert_eq!(
            adopt(&moved, &Wish::default()).unwrap().steps,
            [],
            "after {done} steps: {:?}",
            rest.steps
        );
        for back in [rest.back, release(&found, &Wish::default()).steps] {
            let old = after(found.clone(), &back);
            assert_eq!(old.gateways[0].ours.text, None, "after {done} steps");
            assert_eq!(old.conf.text, None, "after {done} steps");
            if done > 0 {
                assert_eq!(
                    old.taken.get(&18_789),
                    Some(&Holder::Gateway(UNIT.to_owned())),
                    "after {done} steps"
                );
                assert!(!old.gate.unwrap().enabled && !old.gate.unwrap().open);
            }
        }
    }
    let undo = release(&whole, &Wish::default()).steps;
    for done in 0..=undo.len() {
        let found = after(whole.clone(), &undo[..done]);
        let old = after(found.clone(), &release(&found, &Wish::default()).steps);
        assert_eq!(release(&old, &Wish::default()).steps, [], "after {done} steps back");
        assert_eq!(
            old.taken.get(&18_789),
            Some(&Holder::Gateway(UNIT.to_owned())),
            "after {done} steps back"
        );
        assert_eq!((&old.gateways[0].ours.text, &old.conf.text), (&None, &None), "after {done} steps back");
    }
}

#[test]
fn what_was_set_before_comes_back() {
    let mut before = facts();
    before.conf.text = Some("{ owner: ['alice'], runtime: { port: 19001 } }\n".to_owned());
    let plan = adopt(&before, &Wish::default()).unwrap();
    assert_eq!(plan.runtime, 19_001, "the settings' own port is kept");
    let other = adopt(&before, &Wish { port: Some(20_001), unit: None }).unwrap();
    assert_eq!(other.runtime, 20_001);
    let moved = after(before.clone(), &other.steps);
    // To yet another port, and the record stays that of the first time.
    let third = adopt(&moved, &Wish { port: Some(21_001), unit: None }).unwrap();
    assert!(!third.steps.is_empty());
    let moved = after(moved, &third.steps);
    let old = after(moved.clone(), &release(&moved, &Wish::default()).steps);
    assert_eq!(old.conf.text, before.conf.text);
    // Settings that somebody has changed since are that somebody's.
    let mut changed = moved;
    changed.conf.text = Some("{ runtime: { port: 7 } }".to_owned());
    let plan = release(&changed, &Wish::default());
    assert_eq!(after(changed.clone(), &plan.steps).conf.text, changed.conf.text);
    assert_eq!(plan.notes.len(), 1);
}

#[test]
fn what_runs_already_is_told_and_not_stopped() {
    let mut open = facts();
    open.gate = Some(Gate { port: 18_789, enabled: true, open: true, serves: true });
    open.taken = BTreeMap::from([(18_789, Holder::Gate)]);
    open.gateways[0].active = false;
    let plan = adopt(&open, &Wish::default()).unwrap();
    assert!(words(&plan.steps).contains(&"systemctl --user try-restart loopgate.service".to_owned()));
    assert!(!words(&plan.steps).iter().any(|step| step.contains("stop") || step.contains("enable")));
    assert!(!words(&plan.back).iter().any(|step| step.contains("loopgate.socket")), "{:?}", plan.back);
    // One that neither runs nor would is not started when all is put back.
    open.gateways[0].enabled = false;
    let plan = adopt(&open, &Wish::default()).unwrap();
    assert!(!plan.returns && !words(&plan.back).iter().any(|step| step.contains("--user start")));
}

#[test]
fn the_gateway_at_the_port_is_meant() {
    let mut several = facts();
    several.gateways.push(gateway("openclaw-gateway-work.service", START));
    assert!(
        refused(&several, &Wish::default())
            .contains("openclaw-gateway.service and openclaw-gateway-work.service")
    );
    let named = Wish { unit: Some("openclaw-gateway-work.service".to_owned()), port: None };
    several.taken.clear();
    assert_eq!(adopt(&several, &named).unwrap().unit, named.unit);
    several.gateways[1].active = false;
    assert_eq!(adopt(&several, &Wish::default()).unwrap().unit.as_deref(), Some(UNIT));
    several.gateways[1] = gateway("openclaw-gateway-work.service", "/opt/node gateway --port 19001");
    assert_eq!(adopt(&several, &Wish::default()).unwrap().unit.as_deref(), Some(UNIT));
    several.gateways.remove(0);
    assert!(refused(&several, &Wish::default()).contains("no service of alice"));
    let unknown = Wish { unit: Some("x.service".to_owned()), port: None };
    assert!(refused(&several, &unknown).contains("no gateway x.service"));
}

#[test]
fn what_stands_in_the_way_is_said() {
    let changed = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        refused(&facts, &Wish::default())
    };
    assert!(changed(|facts| facts.gate = None).contains("user units"));
    let system =
        changed(|facts| facts.system = vec![("loopgate.socket of the system".into(), "sudo x".into())]);
    assert!(system.contains("would take port 18789 at the next start"), "{system}");
    assert!(changed(|facts| facts.config.bind = Some("lan".into())).contains("other machines"));
    assert!(changed(|facts| facts.config.tls = true).contains("TLS"));
    assert!(
        changed(|facts| facts.gateways[0].others = vec!["/h/override.conf".into()])
            .contains("/h/override.conf")
    );
    assert!(changed(|facts| facts.gateways[0].ours.text = Some("[Service]\n".into())).contains("making"));
    assert!(
        changed(|facts| facts.gateways[0].unit = Some(unit("/bin/sh -c x; --port 18789")))
            .contains("gateway")
    );
    let holder = changed(|facts| {
        facts.taken.insert(18_789, Holder::Other("nginx of user www".into()));
    });
    assert!(holder.contains("port 18789 is held by nginx of user www"), "{holder}");
    assert!(changed(|facts| facts.conf.text = Some("{ a".into())).contains("not valid JSON5"));
}

#[test]
fn a_port_is_chosen_that_is_free() {
    let mut taken = facts();
    let other = || Holder::Other("x of user y".to_owned());
    taken.taken.insert(28_789, other());
    assert_eq!(adopt(&taken, &Wish::default()).unwrap().runtime, 28_989);
    let wish = |port| Wish { port: Some(port), unit: None };
    assert!(refused(&taken, &wish(28_789)).contains("held by x of user y"));
    assert!(refused(&taken, &wish(18_791)).contains("would need ports"));
    taken.taken.extend([(28_989, other()), (29_189, other())]);
    assert!(refused(&taken, &Wish::default()).contains("are taken"));
}

#[test]
fn a_gateway_with_files_of_its_own_takes_loopgated_with_it() {
    let mut work = facts();
    let text = format!("[Service]\nExecStart={START}\nEnvironment=OPENCLAW_STATE_DIR=/h/.openclaw-work\n");
    work.gateways[0].unit = Some(UnitFile::parse(&text));
    let plan = adopt(&work, &Wish::default()).unwrap();
    assert!(plan.steps[1].shown_text().unwrap().contains("Environment=OPENCLAW_STATE_DIR=/h/.openclaw-work"));
    let moved = after(work, &plan.steps);
    let old = after(moved.clone(), &release(&moved, &Wish::default()).steps);
    assert_eq!(old.world.text, None);
}

#[test]
fn what_the_user_should_know_is_noted() {
    let mut odd = facts();
    odd.config.port = Some(18_789);
    odd.gateways[0].unit = Some(unit(&format!("{START} --token canary")));
    let plan = adopt(&odd, &Wish::default()).unwrap();
    assert!(
        plan.notes[0].contains("openclaw config unset gateway.port") && plan.notes.len() == 2,
        "{:?}",
        plan.notes
    );
    let shown: String = plan.steps.iter().filter_map(Step::shown_text).chain(plan.notes).collect();
    assert!(!shown.contains("canary"), "{shown}");
    odd.config.port = Some(19_001);
    assert!(adopt(&odd, &Wish::default()).unwrap().notes[0].contains("sends clients to port 19001"));
}

#[test]
fn nothing_is_left_of_a_gateway_that_was_uninstalled() {
    let plan = adopt(&facts(), &Wish::default()).unwrap();
    let mut gone = after(facts(), &plan.steps);
    gone.gateways[0] = Gateway { unit: None, active: false, enabled: false, ..gone.gateways[0].clone() };
    let plan = release(&gone, &Wish::default());
    assert!(!plan.returns);
    assert_eq!(after(gone, &plan.steps).conf.text, None);
}
