//! Failed attempts.

use std::time::{Duration, Instant};

use loopgate::clock::Now;
use loopgate::limits::PENALTY_SOURCES_MAX;
use loopgate::policy::admit::Verdict;
use loopgate::policy::credential::{HeldToken, Known, Mode, Shared, check};
use loopgate::policy::device::verify;
use loopgate::policy::facts::PeerClass;
use loopgate::policy::origin::{HostClass, OriginClass};
use loopgate::policy::penalty::{OriginKey, Penalty, Source, Tries};
use loopgate::policy::scope::{Role, Scopes};
use loopgate::policy::secret::Digest;
use loopgate::policy::surroundings::Surroundings;
use loopgate::wire::Protocol;
use loopgate::wire::connect::Connect;
use serde_json::{Value, json};

use crate::kit::{NONCE, PORT, Scene, TOKEN, UNIX_MS, direct, own_page, params, signed};

const TRIES: Tries = Tries {
    attempts: 10,
    window: Duration::from_secs(60),
    lockout: Duration::from_secs(300),
    exempt_owner: true,
};

fn start() -> Now {
    Now { mono: Instant::now() + Duration::from_secs(1_000), unix_ms: UNIX_MS }
}

fn page() -> Source {
    Source::Browser(OriginKey::Own)
}

fn fail(penalty: &mut Penalty, source: &Source, times: u32, now: Now) {
    for _ in 0..times {
        assert_eq!(penalty.failed(source, now), None);
    }
}

#[test]
fn s04_a_page_is_locked_out_and_the_owners_programs_are_not() {
    let now = start();
    let mut penalty = Penalty::new(TRIES);
    fail(&mut penalty, &page(), 9, now);
    assert_eq!(penalty.locked(&page(), now), None);
    assert_eq!(penalty.failed(&page(), now), Some(TRIES.lockout));
    assert_eq!(penalty.locked(&page(), now), Some(TRIES.lockout));
    // More attempts neither begin it anew nor make it longer.
    let later = now.later(Duration::from_secs(299));
    assert_eq!(penalty.failed(&page(), later), None);
    assert_eq!(penalty.locked(&page(), later), Some(Duration::from_secs(1)));
    assert_eq!(penalty.locked(&page(), now.later(TRIES.lockout)), None);

    fail(&mut penalty, &Source::Owner, 100, now);
    assert_eq!(penalty.locked(&Source::Owner, now), None);
    let scene = Scene { locked: penalty.locked(&Source::Owner, now), ..Scene::local(&json!({})) };
    assert_eq!(scene.rule(), "local-operator");

    let mut strict = Penalty::new(Tries { exempt_owner: false, ..TRIES });
    fail(&mut strict, &Source::Owner, 9, now);
    assert!(strict.failed(&Source::Owner, now).is_some());
}

#[test]
fn failures_leave_the_window_one_by_one_and_a_success_forgets_them() {
    let now = start();
    let mut penalty = Penalty::new(TRIES);
    for second in 0..20 {
        // One failure each seven seconds: never ten within sixty.
        assert_eq!(penalty.failed(&page(), now.later(Duration::from_secs(7 * second))), None);
    }
    let mut penalty = Penalty::new(TRIES);
    fail(&mut penalty, &page(), 9, now);
    penalty.succeeded(&page());
    fail(&mut penalty, &page(), 9, now);
    assert!(penalty.failed(&page(), now).is_some());
}

/// The origin page's source is `page`, with every secret made of `offered` and a proof made of `proof`.
fn attempt(offered: u32, proof: u8, mode: &Mode, protocol: Protocol) -> (Verdict, bool) {
    let mut auth = json!({});
    for (bit, name) in ["token", "password", "deviceToken", "bootstrapToken"].iter().enumerate() {
        if offered & (1 << bit) != 0 {
            auth[name] = json!(format!("guess-{name}"));
        }
    }
    let plain = params(&json!({ "auth": auth }));
    let params = match proof {
        0 => plain,
        1 => signed(&plain, 3, 7),
        _ => {
            let mut params = signed(&plain, 3, 7);
            params["device"]["signature"] = json!("AAAA");
            params
        }
    };
    let connect = Connect::parse(&params).unwrap();
    let device = verify(&connect, NONCE, UNIX_MS);
    let proven = matches!(device, Some(Ok(_)));
    let held = HeldToken { role: Role::Operator, digest: Digest::of("made-up"), scopes: Scopes::ADMIN };
    let known = Known { proven, tokens: &[held], bootstrap: false };
    let credential = check(mode, &connect, protocol, &known);
    let scene =
        Scene { surroundings: own_page(), connect, device, credential, protocol, ..Scene::local(&json!({})) };
    (scene.verdict(), offered != 0 || proof == 2)
}

#[test]
fn s06_every_mix_of_wrong_secrets_counts_once() {
    let shared = Shared::Set(Digest::of(TOKEN));
    let now = start();
    for mode in [
        Mode::Token(shared),
        Mode::Password(shared),
        Mode::Token(Shared::Missing),
        Mode::Password(Shared::Unusable),
    ] {
        for protocol in Protocol::ALL {
            for offered in 0..16 {
                for proof in 0..3 {
                    let mut penalty = Penalty::new(TRIES);
                    for round in 1..=10 {
                        let (verdict, guessed) = attempt(offered, proof, &mode, protocol);
                        let Verdict::Refuse { counts, .. } = verdict else { panic!("{verdict:?}") };
                        assert_eq!(counts, guessed, "{mode:?} v{protocol} {offered:04b} proof {proof}");
                        let locks = counts && penalty.failed(&page(), now).is_some();
                        assert_eq!(locks, guessed && round == 10);
                    }
                    assert_eq!(penalty.locked(&page(), now).is_some(), offered != 0 || proof == 2);
                }
            }
        }
    }
}

#[test]
fn an_attempt_under_lockout_is_told_when_to_come_back_and_does_not_count() {
    let locked = Some(Duration::from_millis(1_500));
    let scene =
        Scene { surroundings: own_page(), locked, ..Scene::local(&json!({"auth": {"token": "bad"}})) };
    let Verdict::Refuse { refusal, counts } = scene.verdict() else { panic!() };
    assert_eq!((refusal.rule, refusal.status, counts), ("locked-out", 429, false));
    let error = serde_json::to_value(refusal.error.unwrap()).unwrap();
    let want = json!({
        "code": "INVALID_REQUEST", "retryable": true, "retryAfterMs": 1500,
        "message": "unauthorized: too many failed authentication attempts (retry later)",
        "details": {
            "code": "AUTH_RATE_LIMITED", "authReason": "rate_limited", "canRetryWithDeviceToken": false,
            "recommendedNextStep": "wait_then_retry",
        },
    });
    assert_eq!(error, want);
}

#[test]
fn s07_no_spelling_is_another_source() {
    let read = |headers: &[(&str, &str)]| {
        Surroundings::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())), Some(PORT), &[])
    };
    let spelled =
        ["http://127.0.0.1:18789", "http://localhost:18789", "http://[::1]:18789", "HTTPS://LocalHost:18789"];
    for origin in spelled {
        for host in ["127.0.0.1:18789", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2"] {
            for peer in [PeerClass::Owner, PeerClass::Allowed(7), PeerClass::Unknown] {
                assert_eq!(Source::of(peer, &read(&[("Host", host), ("Origin", origin)])), page());
            }
        }
    }
    // No header, and no address, for there is none among the facts, divides the programs of one user.
    for host in ["127.0.0.1", "localhost", "[::1]", "127.0.0.2:18789"] {
        assert_eq!(Source::of(PeerClass::Allowed(7), &read(&[("Host", host)])), Source::Uid(7));
        for value in ["1.2.3.4", "::ffff:1.2.3.4", "", "unknown"] {
            let forwarded = read(&[("Host", host), ("X-Forwarded-For", value)]);
            assert_eq!(Source::of(PeerClass::Owner, &forwarded), Source::Proxied);
        }
    }
    assert_eq!(Source::of(PeerClass::Unknown, &direct()), Source::UnknownUid);
    let foreign = Surroundings { host: HostClass::Foreign, origin: OriginClass::Foreign, forwarded: None };
    assert_eq!(Source::of(PeerClass::Owner, &foreign), Source::Browser(OriginKey::Foreign));
}

#[test]
fn nobody_drives_his_own_lockout_out_of_memory() {
    let now = start();
    let mut penalty = Penalty::new(TRIES);
    let guilty = Source::Uid(0);
    fail(&mut penalty, &guilty, 9, now);
    assert!(penalty.failed(&guilty, now).is_some());
    let many = u32::try_from(2 * PENALTY_SOURCES_MAX).unwrap();
    for uid in 1..=many {
        let moment = now.later(Duration::from_millis(uid.into()));
        assert_eq!(penalty.failed(&Source::Uid(uid), moment), None);
    }
    let later = now.later(Duration::from_secs(30));
    assert!(penalty.locked(&guilty, later).is_some());
    assert_eq!(penalty.export(later).len(), PENALTY_SOURCES_MAX);
    // The newest are remembered, the oldest were forgotten.
    let remembered = |uid| penalty.export(later).iter().any(|tally| tally.source == Source::Uid(uid));
    assert!(remembered(many) && !remembered(1));
}

#[test]
fn when_everybody_is_locked_out_newcomers_share_one_count() {
    let now = start();
    let mut penalty = Penalty::new(Tries { attempts: 2, ..TRIES });
    for uid in 0..u32::try_from(PENALTY_SOURCES_MAX).unwrap() {
        fail(&mut penalty, &Source::Uid(uid), 1, now);
        assert!(penalty.failed(&Source::Uid(uid), now).is_some());
    }
    assert_eq!(penalty.failed(&Source::Uid(90_000), now), None);
    assert!(penalty.failed(&Source::Uid(90_001), now).is_some());
    assert!(penalty.locked(&Source::Uid(90_002), now).is_some());
    assert!(penalty.locked(&Source::Uid(5), now).is_some());
    assert_eq!(penalty.locked(&Source::Uid(90_002), now.later(TRIES.lockout)), None);
}

#[test]
fn counts_and_lockouts_survive_a_hand_over() {
    let now = start();
    let mut penalty = Penalty::new(TRIES);
    fail(&mut penalty, &page(), 9, now);
    fail(&mut penalty, &Source::Uid(7), 9, now);
    assert!(penalty.failed(&Source::Uid(7), now).is_some());
    let stop = now.later(Duration::from_secs(10));
    let tallies = penalty.export(stop);
    assert_eq!(tallies.len(), 2);

    let restart = start();
    let mut next = Penalty::new(TRIES);
    next.import(tallies.clone(), restart);
    assert_eq!(next.export(restart), tallies);
    assert_eq!(next.locked(&Source::Uid(7), restart), Some(Duration::from_secs(290)));
    assert!(next.failed(&page(), restart).is_some());
}

#[test]
fn a_right_secret_is_no_failure_whatever_stands_beside_it() {
    let auth: Value =
        json!({"token": TOKEN, "deviceToken": "bad", "bootstrapToken": "bad", "password": "bad"});
    let connect = Connect::parse(&signed(&params(&json!({ "auth": auth })), 3, 7)).unwrap();
    let device = verify(&connect, NONCE, UNIX_MS);
    let known = Known { proven: true, tokens: &[], bootstrap: false };
    let credential = check(&Mode::Token(Shared::Set(Digest::of(TOKEN))), &connect, Protocol::V3, &known);
    let scene = Scene { surroundings: own_page(), connect, device, credential, ..Scene::local(&json!({})) };
    assert!(matches!(scene.verdict(), Verdict::Pend(_)));
}
