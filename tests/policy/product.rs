//! The whole product of the classes of facts: what must hold of every verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use loopgate::policy::admit::{Admission, Narrowed, PairingChange, Pending, Verdict};
use loopgate::policy::credential::{Credential, Reason};
use loopgate::policy::device::Fault;
use loopgate::policy::facts::{Door, Pairing, PeerClass};
use loopgate::policy::origin::{HostClass, OriginClass};
use loopgate::policy::rules::{ADMISSION, Effect, Rule, Stage};
use loopgate::policy::scope::{AuthMethod, Role, SCOPES, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::policy::surroundings::Surroundings;
use loopgate::wire::Protocol;
use loopgate::wire::connect::Connect;
use loopgate::wire::refusal::Refusal;
use serde_json::{Value, json};

use crate::kit::{Scene, connect, proven};

const PAIRINGS: [Pairing<'static>; 6] = [
    Pairing::Unknown,
    Pairing::Known { roles: &[Role::Operator, Role::Node], approved: Scopes::ADMIN, same_metadata: true },
    Pairing::Known { roles: &[Role::Operator], approved: Scopes::READ, same_metadata: true },
    Pairing::Known { roles: &[Role::Operator], approved: Scopes::WRITE, same_metadata: false },
    Pairing::Known { roles: &[Role::Node], approved: Scopes::NONE, same_metadata: true },
    Pairing::Known { roles: &[], approved: Scopes::ADMIN, same_metadata: true },
];

fn credentials() -> Vec<Credential> {
    let digest = Digest::of("made-up");
    let mut all = vec![
        Credential::NoneRequired,
        Credential::Shared { method: AuthMethod::Token, digest },
        Credential::Shared { method: AuthMethod::Password, digest },
        Credential::DeviceToken { digest, scopes: Scopes::WRITE },
        Credential::Bootstrap { digest },
    ];
    all.extend(Reason::ALL.map(Credential::Failed));
    all
}

/// What is foreign is turned away first, whatever stands beside it, so it needs no product of its own.
fn surroundings() -> Vec<Surroundings> {
    let allowed = OriginClass::Allowed("https://ui.example".parse().unwrap());
    let via = || Some("via".to_owned());
    let mut all = vec![
        Surroundings { host: HostClass::Foreign, origin: OriginClass::Absent, forwarded: None },
        Surroundings { host: HostClass::Loopback, origin: OriginClass::Foreign, forwarded: None },
        Surroundings { host: HostClass::Foreign, origin: OriginClass::Foreign, forwarded: via() },
    ];
    for host in [HostClass::Absent, HostClass::Loopback] {
        for origin in [OriginClass::Absent, OriginClass::Own, allowed.clone()] {
            for forwarded in [None, via()] {
                all.push(Surroundings { host, origin: origin.clone(), forwarded });
            }
        }
    }
    all
}

/// Groups of clients that differ in what they call themselves alone.
fn connects() -> Vec<[Connect; 3]> {
    let group = |role: &str, auth: &Value, scopes: &Value| {
        [("test", "test"), ("cli", "probe"), ("openclaw-control-ui", "webchat")].map(|(id, mode)| {
            let client = json!({"id": id, "mode": mode});
            connect(&json!({"role": role, "auth": auth, "scopes": scopes, "client": client}))
        })
    };
    let mut all = vec![group("admin", &json!({}), &json!([]))];
    for role in ["operator", "node"] {
        for auth in [json!({}), json!({"token": "guess"})] {
            for scopes in [json!([]), json!(["operator.write", "operator.bogus"]), json!(["operator.admin"])]
            {
                all.push(group(role, &auth, &scopes));
            }
        }
    }
    all
}

/// Calls `check` with every scene. A credential of a device comes with a device, as it does out of the check.
pub(crate) fn every_scene(mut check: impl FnMut(&Scene)) {
    let base = Scene::local(&json!({}));
    let proofs = [None, Some(Ok(proven(7))), Some(Err(Fault::Signature))];
    for surroundings in surroundings() {
        for connect in connects().concat() {
            let mut scene = Scene { surroundings: surroundings.clone(), connect, ..base.clone() };
            for peer in [PeerClass::Owner, PeerClass::Allowed(7), PeerClass::Other(8), PeerClass::Unknown] {
                for (device, door) in
                    proofs.iter().flat_map(|proof| [(proof, Door::Tcp), (proof, Door::Owner)])
                {
                    (scene.peer, scene.door, scene.device) = (peer, door, device.clone());
                    every_credential(&mut scene, &mut check);
                }
            }
        }
    }
}

fn every_credential(scene: &mut Scene, check: &mut impl FnMut(&Scene)) {
    let proven = matches!(scene.device, Some(Ok(_)));
    for credential in credentials() {
        let of_device = matches!(
            credential,
            Credential::DeviceToken { .. }
                | Credential::Bootstrap { .. }
                | Credential::Failed(Reason::BootstrapInvalid | Reason::DeviceTokenMismatch)
        );
        if of_device && !proven {
            continue;
        }
        for pairing in PAIRINGS.iter().take(if proven { PAIRINGS.len() } else { 1 }) {
            for (ceiling, locked) in
                [(Scopes::ADMIN, None), (Scopes::WRITE, None), (Scopes::ADMIN, Some(Duration::ZERO))]
            {
                (scene.credential, scene.pairing) = (credential, *pairing);
                (scene.ceiling, scene.locked) = (ceiling, locked);
                check(scene);
            }
        }
    }
}

fn effect(verdict: &Verdict) -> Effect {
    match verdict {
        Verdict::Admit(_) => Effect::Admit,
        Verdict::Pend(_) => Effect::Pend,
        Verdict::Refuse { .. } => Effect::Refuse,
    }
}

#[test]
fn every_verdict_keeps_the_promises_and_every_rule_can_decide() {
    let mut fired = BTreeSet::new();
    every_scene(|scene| {
        let verdict = scene.verdict();
        let rule = Rule::named(verdict.rule()).expect("in the table");
        assert_eq!(rule.effect(), effect(&verdict), "{}", rule.name);
        assert_ne!(rule.stage, Stage::Recheck);
        fired.insert(rule.name);
        // The wording depends on the protocol, the verdict does not.
        let again = Scene { protocol: Protocol::V4, ..scene.clone() }.verdict();
        assert_eq!(again.rule(), verdict.rule());
        match (verdict, again) {
            (Verdict::Admit(admission), Verdict::Admit(again)) => {
                assert_eq!(admission, again);
                check_admission(scene, &admission);
            }
            (Verdict::Pend(pending), _) => check_pending(scene, &pending),
            (Verdict::Refuse { refusal, counts }, _) => check_refusal(scene, &refusal, counts),
            (Verdict::Admit(_), again) => panic!("{again:?}"),
        }
    });
    for fault in Fault::ALL {
        fired.insert(Scene { device: Some(Err(fault)), ..Scene::local(&json!({})) }.rule());
    }
    let at_connect = ADMISSION.iter().filter(|rule| rule.stage != Stage::Recheck);
    let silent: Vec<_> = at_connect.map(|rule| rule.name).filter(|name| !fired.contains(name)).collect();
    assert_eq!(silent, [""; 0]);
}

fn check_admission(scene: &Scene, admission: &Admission) {
    let grant = &admission.grant;
    let page = scene.surroundings.origin != OriginClass::Absent;
    let local = scene.peer == PeerClass::Owner && scene.surroundings.direct();
    assert!(scene.locked.is_none() || scene.door == Door::Owner);
    // S42, S1, S30: nobody's and nobody knows whose.
    assert!(!matches!(scene.peer, PeerClass::Other(_)));
    assert!(
        scene.surroundings.host != HostClass::Foreign && scene.surroundings.origin != OriginClass::Foreign
    );
    // S5: without asking, only the owner's own programs are paired; a setup code is the owner's own word.
    if admission.pairing != PairingChange::None {
        assert!(local || grant.how() == AuthMethod::BootstrapToken, "{}", grant.rule());
    }
    // S14, S15: a proxy ends local.
    assert!(!grant.rule().starts_with("local-") || local);
    assert!(grant.rule() != "owner-socket" || (local && scene.door == Door::Owner));
    // S18: what failed opens nothing.
    assert!(!matches!(scene.credential, Credential::Failed(_)) || grant.how() == AuthMethod::PeerUid);
    assert!(!matches!(scene.device, Some(Err(_))));
    // S19, and pages: a device was proven.
    assert!(scene.device.is_some() || (grant.role() == Role::Operator && local && !page));
    assert_eq!(grant.device().is_some(), scene.device.is_some());
    within_bounds(scene, admission);
}

/// Only who has proven a device and a credential may wait for the owner.
fn check_pending(scene: &Scene, pending: &Pending) {
    assert!(matches!(scene.device, Some(Ok(_))) && !matches!(scene.credential, Credential::Failed(_)));
    assert!(scene.locked.is_none() && scene.ceiling.covers(pending.wanted));
}

fn check_refusal(scene: &Scene, refusal: &Refusal, counts: bool) {
    let guessed = matches!(scene.device, Some(Err(_)))
        || (matches!(scene.credential, Credential::Failed(_)) && scene.connect.auth.token.is_some());
    assert_eq!(counts, guessed && scene.locked.is_none(), "{}", refusal.rule);
    let error = refusal.error.as_ref().expect("an answer");
    assert!(!refusal.remedy.is_empty() && !refusal.reason.is_empty() && !error.message.is_empty());
    assert_eq!(refusal.code.number(), 1008);
}

/// S8 and S12: never more than asked, allowed and approved; and never less without saying so.
fn within_bounds(scene: &Scene, admission: &Admission) {
    let grant = &admission.grant;
    let names = || scene.connect.scopes.iter().map(String::as_str);
    let asked = Scopes::from_names(names());
    assert!(asked.covers(grant.scopes()) && scene.ceiling.covers(grant.scopes()));
    if grant.role() == Role::Node {
        assert!(grant.scopes().is_empty());
    }
    if grant.rule() == "paired-device" {
        let Pairing::Known { roles, approved, .. } = scene.pairing else { panic!() };
        assert!(approved.covers(grant.scopes()) && roles.contains(&grant.role()));
        if let Credential::DeviceToken { scopes, .. } = scene.credential {
            assert!(scopes.covers(grant.scopes()));
        }
    }
    let held = |name: &str| Scopes::from_name(name).is_some_and(|scope| grant.scopes().covers(scope));
    let lacking: Vec<_> = names().filter(|name| !held(name)).collect();
    let said: Vec<_> = admission.narrowed.iter().flat_map(Narrowed::names).collect();
    assert_eq!(said, lacking);
}

#[test]
fn s12_what_a_client_calls_itself_never_changes_its_grant() {
    let base = Scene::local(&json!({}));
    for surroundings in surroundings() {
        for clients in connects() {
            for (peer, door) in [
                (PeerClass::Owner, Door::Tcp),
                (PeerClass::Owner, Door::Owner),
                (PeerClass::Allowed(7), Door::Tcp),
            ] {
                for device in [None, Some(Ok(proven(7)))] {
                    let scene =
                        Scene { surroundings: surroundings.clone(), peer, door, device, ..base.clone() };
                    same_grant(scene, &clients);
                }
            }
        }
    }
}

fn same_grant(mut scene: Scene, clients: &[Connect]) {
    every_credential(&mut scene.clone(), &mut |case| {
        scene.clone_from(case);
        let mut grants = clients.iter().filter_map(|client| {
            scene.connect = client.clone();
            // A browser's name without an Origin is turned away, which is no grant.
            let turned_away = client.claims_browser() && scene.rule() == "browser-without-origin";
            let grant = |verdict| match verdict {
                Verdict::Admit(admission) => Some(admission),
                _ => None,
            };
            (!turned_away).then(|| grant(scene.verdict()))
        });
        let first = grants.next().unwrap();
        assert!(grants.all(|grant| grant == first));
    });
}

#[test]
fn the_table_reads_well() {
    for rule in ADMISSION {
        let name = rule.name;
        assert!(name.len() <= 26 && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        assert_eq!(ADMISSION.iter().filter(|other| other.name == name).count(), 1, "{name}");
        assert!(!rule.when.is_empty() && !rule.when.ends_with('.') && !rule.remedy.ends_with('.'), "{name}");
        assert_eq!(rule.remedy.is_empty(), rule.effect() == Effect::Admit, "{name}");
        assert!(!rule.when.contains("  ") && !rule.remedy.contains("  "), "{name}");
    }
}

#[test]
fn scopes_are_a_lattice() {
    let singles: Vec<_> = SCOPES.iter().map(|row| row.scopes).collect();
    let sets: BTreeSet<String> =
        (0..1_u32 << singles.len()).map(|bits| set(&singles, bits).to_string()).collect();
    let sets: Vec<_> = sets.iter().map(|names| Scopes::from_names(names.split(' '))).collect();
    for &a in &sets {
        assert!(a.covers(a) && a.covers(Scopes::NONE) && Scopes::ADMIN.covers(a));
        assert!(!a.covers(Scopes::WRITE) || a.covers(Scopes::READ));
        assert_eq!(a.or(a), a);
        for &b in &sets {
            assert!((a | b).covers(a) && a.covers(a & b));
            assert_eq!(a.covers(b), a | b == a);
            for &c in sets.iter().filter(|_| a.covers(b)) {
                assert!(!b.covers(c) || a.covers(c));
            }
        }
    }
}

fn set(singles: &[Scopes], bits: u32) -> Scopes {
    let chosen = singles.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    chosen.fold(Scopes::NONE, |all, (_, one)| all | *one)
}
