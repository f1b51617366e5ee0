//! Grants, surroundings and penalties as a hand-over carries them.

use std::time::{Duration, Instant};

use loopgate::clock::Now;
use loopgate::journal::{Entry, Field, Kind};
use loopgate::policy::admit::{Admission, Verdict};
use loopgate::policy::credential::{Credential, HeldToken, Mode, Shared};
use loopgate::policy::facts::{Door, Pairing, PeerClass};
use loopgate::policy::origin::{HostClass, Origin, OriginClass};
use loopgate::policy::penalty::{OriginKey, Penalty, Source, Tally, Tries};
use loopgate::policy::recheck::Standing;
use loopgate::policy::rules::{ADMISSION, Effect};
use loopgate::policy::saved::SavedGrant;
use loopgate::policy::scope::{AuthMethod, Role, SCOPES, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::policy::surroundings::{Surroundings, may_upgrade};
use serde_json::{Value, json};

use crate::kit::{Scene, TOKEN, direct, own_page, proven};
use crate::product::every_scene;

const ANYTHING: Pairing<'static> =
    Pairing::Known { roles: &[Role::Operator, Role::Node], approved: Scopes::ADMIN, same_metadata: true };

fn admitted(scene: &Scene) -> Admission {
    match scene.verdict() {
        Verdict::Admit(admission) => admission,
        other => panic!("{other:?}"),
    }
}

fn stored(admission: &Admission) -> Value {
    serde_json::to_value(SavedGrant::of(&admission.grant, &admission.proof)).unwrap()
}

fn read(stored: &Value) -> SavedGrant {
    serde_json::from_value(stored.clone()).unwrap()
}

/// The mode under which what `how` says is still enough.
fn mode(how: AuthMethod, digest: Option<Digest>) -> Mode {
    let shared = digest.map_or(Shared::Missing, Shared::Set);
    match how {
        AuthMethod::Token => Mode::Token(shared),
        AuthMethod::Password => Mode::Password(shared),
        _ => Mode::None,
    }
}

/// A local operator with the shared secret.
fn local() -> Value {
    stored(&admitted(&Scene::local(&json!({"scopes": ["operator.write", "operator.talk"]}))))
}

/// A paired page.
fn page() -> Value {
    let device = Some(Ok(proven(7)));
    stored(&admitted(&Scene {
        device,
        pairing: ANYTHING,
        surroundings: own_page(),
        ..Scene::local(&json!({}))
    }))
}

fn with(mut grant: Value, key: &str, value: Value) -> Value {
    grant[key] = value;
    grant
}

fn without(mut grant: Value, key: &str) -> Value {
    grant.as_object_mut().unwrap().remove(key);
    grant
}

/// Every grant that the rules can make comes back as it was, as long as nothing has changed.
#[test]
fn every_grant_there_is_comes_back() {
    let mut seen = std::collections::BTreeSet::new();
    every_scene(|scene| {
        let Verdict::Admit(admission) = scene.verdict() else { return };
        let stored = stored(&admission);
        if !seen.insert(stored.to_string()) {
            return;
        }
        let former = read(&stored).restore().unwrap_or_else(|error| panic!("{stored}: {error}"));
        assert_eq!((former.role(), former.device()), (admission.grant.role(), admission.grant.device()));
        let tokens = admission.proof.digest().map(|digest| HeldToken {
            role: admission.grant.role(),
            digest,
            scopes: Scopes::ADMIN,
        });
        let standing = Standing {
            peer: PeerClass::Owner,
            mode: &mode(admission.grant.how(), admission.proof.digest()),
            tokens: tokens.as_slice(),
            pairing: ANYTHING,
            ceiling: Scopes::ADMIN,
        };
        let back = former.readmit(&standing).unwrap_or_else(|refusal| panic!("{stored}: {refusal:?}"));
        assert_eq!((back.grant, back.proof, back.narrowed), (admission.grant, admission.proof, false));
    });
    assert!(seen.len() > 20, "{}", seen.len());
    for rule in ADMISSION.iter().filter(|rule| rule.effect() == Effect::Admit) {
        assert!(seen.iter().any(|stored| stored.contains(rule.name)), "{}", rule.name);
    }
}

#[test]
fn every_set_of_scopes_comes_back() {
    for bits in 0..1_u32 << SCOPES.len() {
        let chosen = SCOPES.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
        let names: Vec<&str> = chosen.map(|(_, row)| row.name).collect();
        let admission = admitted(&Scene::local(&json!({ "scopes": names })));
        let standing = Standing {
            peer: PeerClass::Owner,
            mode: &mode(AuthMethod::Token, admission.proof.digest()),
            tokens: &[],
            pairing: Pairing::Unknown,
            ceiling: Scopes::ADMIN,
        };
        let back = read(&stored(&admission)).restore().unwrap().readmit(&standing).unwrap();
        assert_eq!(back.grant, admission.grant, "{names:?}");
    }
}

/// A restored grant opens nothing: today's secret, owner, record and ceiling decide first.
#[test]
fn s40_a_restored_grant_is_admitted_again() {
    let same = Mode::Token(Shared::Set(Digest::of(TOKEN)));
    let other = Mode::Token(Shared::Set(Digest::of("another")));
    let base = Standing {
        peer: PeerClass::Owner,
        mode: &same,
        tokens: &[],
        pairing: Pairing::Unknown,
        ceiling: Scopes::ADMIN,
    };
    let after = |grant: &Value, standing: &Standing<'_>| {
        let former = read(grant).restore().unwrap();
        former.readmit(standing).map(|back| (back.grant.scopes(), back.narrowed)).map_err(|r| r.rule)
    };
    let gone = Err("credential-gone");
    assert_eq!(after(&local(), &base), Ok((Scopes::WRITE | Scopes::TALK, false)));
    assert_eq!(after(&local(), &Standing { ceiling: Scopes::READ, ..base }), Ok((Scopes::READ, true)));
    assert_eq!(after(&local(), &Standing { mode: &other, ..base }), gone);
    assert_eq!(after(&local(), &Standing { mode: &Mode::None, ..base }), gone);
    assert_eq!(after(&local(), &Standing { peer: PeerClass::Unknown, ..base }), gone);
    assert_eq!(after(&page(), &base), gone, "its device was removed");
    assert_eq!(after(&page(), &Standing { pairing: ANYTHING, ..base }), Ok((Scopes::READ, false)));
    // A scope written into the record by somebody else still ends at the ceiling of the record of the device.
    let wider = with(page(), "scopes", json!(["operator.admin"]));
    let narrow = Pairing::Known { roles: &[Role::Operator], approved: Scopes::READ, same_metadata: true };
    assert_eq!(after(&wider, &Standing { pairing: narrow, ..base }), Ok((Scopes::READ, true)));
}

#[test]
fn what_admission_cannot_have_made_is_not_restored() {
    let device = page()["device"].clone();
    let hex = |bytes: usize| json!("ab".repeat(bytes));
    let cases = [
        ("no role", with(local(), "role", json!("admin"))),
        ("no scope", with(local(), "scopes", json!(["operator.bogus"]))),
        ("no method", with(local(), "how", json!("magic"))),
        ("no rule", with(local(), "rule", json!("made-up"))),
        ("a rule that refuses", with(local(), "rule", json!("secret-wrong"))),
        ("a rule that pends", with(local(), "rule", json!("pend-scope"))),
        ("the rule of the recheck", with(local(), "rule", json!("credential-gone"))),
        ("another ground", with(local(), "rule", json!("owner-socket"))),
        ("a setup code on a secret", with(page(), "rule", json!("bootstrap"))),
        ("a record without a device", without(page(), "device")),
        ("a node without a device", with(with(local(), "scopes", json!([])), "role", json!("node"))),
        ("a node with scopes", with(with(local(), "device", device), "role", json!("node"))),
        ("a device id that is none", with(page(), "device", json!("7"))),
        ("a device id in capitals", with(page(), "device", json!("AB".repeat(32)))),
        ("no digest", without(local(), "digest")),
        ("a digest for nothing", with(with(local(), "how", json!("none")), "digest", hex(32))),
    ];
    for (name, grant) in cases {
        let error = read(&grant).restore().map(|former| former.role()).expect_err(name);
        assert!(!error.is_empty() && !error.ends_with('.'), "{name}: {error}");
    }
    for bad in [
        json!({}),
        json!([]),
        without(local(), "role"),
        without(local(), "how"),
        without(local(), "rule"),
        with(local(), "digest", hex(31)),
        with(local(), "scopes", json!("operator.read")),
    ] {
        assert!(serde_json::from_value::<SavedGrant>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn the_stored_grant_stays() {
    let digest = Digest::of(TOKEN).hex();
    let scopes = ["operator.read", "operator.talk", "operator.write"];
    let want = json!({"role": "operator", "scopes": scopes, "how": "token", "digest": digest, "rule": "local-operator"});
    assert_eq!(local(), want);
    let socket = stored(&admitted(&Scene { door: Door::Owner, ..Scene::local(&json!({})) }));
    let want =
        json!({"role": "operator", "scopes": ["operator.read"], "how": "peer-uid", "rule": "owner-socket"});
    assert_eq!(socket, want);
    assert_eq!(page()["device"], json!(proven(7).id().as_str()));
    // What a later version adds does no harm, and no scopes are an empty set.
    assert!(read(&with(without(local(), "scopes"), "more", json!(1))).restore().is_ok());
    for method in AuthMethod::ALL {
        assert_eq!(AuthMethod::from_name(method.name()), Some(method));
    }
}

#[test]
fn a_former_grant_can_be_told_of() {
    let former = read(&page()).restore().unwrap();
    let entry = former.describe(Entry::new(Kind::Narrow));
    assert_eq!(entry.value(Field::Rule).map(ToString::to_string).as_deref(), Some("paired-device"));
    assert!(!format!("{former:?}").contains(&Digest::of(TOKEN).hex()), "digests are never printed");
}

#[test]
fn surroundings_come_back() {
    let allowed: Origin = "HTTPS://ui.Example:443".parse().unwrap();
    let cases = [
        (direct(), json!({"host": "loopback", "origin": "absent"})),
        (own_page(), json!({"host": "loopback", "origin": "own"})),
        (
            Surroundings {
                host: HostClass::Absent,
                origin: OriginClass::Allowed(allowed),
                forwarded: Some("via".into()),
            },
            json!({"host": "absent", "origin": {"allowed": "https://ui.example"}, "forwarded": "via"}),
        ),
        (
            Surroundings { host: HostClass::Foreign, origin: OriginClass::Foreign, forwarded: None },
            json!({"host": "foreign", "origin": "foreign"}),
        ),
    ];
    for (surroundings, want) in cases {
        let stored = serde_json::to_value(&surroundings).unwrap();
        assert_eq!(stored, want);
        assert_eq!(serde_json::from_value::<Surroundings>(stored).unwrap(), surroundings);
    }
    for bad in [
        json!({"host": "loopback"}),
        json!({"host": "near", "origin": "own"}),
        json!({"host": "loopback", "origin": {"allowed": "ui.example"}}),
    ] {
        assert!(serde_json::from_value::<Surroundings>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn a_page_that_is_not_named_any_more_is_foreign() {
    let origin: Origin = "https://ui.example".parse().unwrap();
    let page = Surroundings { origin: OriginClass::Allowed(origin.clone()), ..direct() };
    assert_eq!(page.clone().today(&[origin]), page);
    let after = page.today(&["https://other.example".parse().unwrap()]);
    assert_eq!(may_upgrade(&after).unwrap_err().rule, "origin-foreign");
    for same in [direct(), own_page()] {
        assert_eq!(same.clone().today(&[]), same);
    }
}

#[test]
fn penalties_are_stored_by_name_and_to_the_microsecond() {
    let sources = [
        (Source::Owner, json!("owner")),
        (Source::Uid(7), json!({"uid": 7})),
        (Source::UnknownUid, json!("unknown-uid")),
        (Source::Proxied, json!("proxied")),
        (Source::Browser(OriginKey::Own), json!({"browser": "own"})),
        (
            Source::Browser(OriginKey::Allowed("https://ui.example:8443".parse().unwrap())),
            json!({"browser": {"allowed": "https://ui.example:8443"}}),
        ),
        (Source::Browser(OriginKey::Foreign), json!({"browser": "foreign"})),
    ];
    for (source, name) in sources {
        let tally = Tally {
            source,
            failures_age: vec![Duration::from_micros(1_500_001), Duration::ZERO],
            locked: Some(Duration::from_secs(3)),
        };
        let stored = serde_json::to_value(&tally).unwrap();
        assert_eq!(stored, json!({"source": name, "failures_age": [1_500_001, 0], "locked": 3_000_000}));
        assert_eq!(serde_json::from_value::<Tally>(stored).unwrap(), tally);
    }
    let lean: Tally = serde_json::from_value(json!({"source": "owner"})).unwrap();
    assert_eq!((lean.failures_age.len(), lean.locked), (0, None));
    for bad in [json!({}), json!({"source": {"uid": -1}}), json!({"source": "owner", "failures_age": [-1]})] {
        assert!(serde_json::from_value::<Tally>(bad.clone()).is_err(), "{bad}");
    }
}

/// The time that the service was away counts, if the time of the export is known.
#[test]
fn a_lockout_goes_on_while_nobody_is_there() {
    let now = Now { mono: Instant::now() + Duration::from_secs(1_000), unix_ms: 0 };
    let tries = Tries {
        attempts: 1,
        window: Duration::from_secs(60),
        lockout: Duration::from_secs(300),
        exempt_owner: true,
    };
    let mut penalty = Penalty::new(tries);
    assert!(penalty.failed(&Source::Proxied, now).is_some());
    let text = serde_json::to_string(&penalty.export(now)).unwrap();
    let tallies: Vec<Tally> = serde_json::from_str(&text).unwrap();
    let mut next = Penalty::new(tries);
    next.import(tallies, now);
    let later = now.later(Duration::from_secs(100));
    assert_eq!(next.locked(&Source::Proxied, later), Some(Duration::from_secs(200)));
}

/// A setup code is used up, so the grant stands on the record that it made.
#[test]
fn a_setup_code_comes_back_as_its_record() {
    let credential = Credential::Bootstrap { digest: Digest::of("made-up") };
    let scene = Scene { device: Some(Ok(proven(7))), credential, ..Scene::local(&json!({})) };
    let stored = stored(&admitted(&scene));
    let standing = |pairing| Standing {
        peer: PeerClass::Owner,
        mode: &Mode::None,
        tokens: &[],
        pairing,
        ceiling: Scopes::ADMIN,
    };
    assert!(read(&stored).restore().unwrap().readmit(&standing(ANYTHING)).is_ok());
    assert!(read(&stored).restore().unwrap().readmit(&standing(Pairing::Unknown)).is_err());
}
