//! Open connections looked at again.

use loopgate::policy::admit::{Admission, Verdict};
use loopgate::policy::credential::{Credential, HeldToken, Mode, Shared};
use loopgate::policy::facts::{Door, Pairing, PeerClass};
use loopgate::policy::recheck::{Standing, readmit};
use loopgate::policy::rules::Rule;
use loopgate::policy::scope::{Role, Scopes};
use loopgate::policy::secret::Digest;
use serde_json::json;

use crate::kit::{Scene, TOKEN, own_page, proven};

const PAIRED: Pairing<'static> =
    Pairing::Known { roles: &[Role::Operator], approved: Scopes::WRITE, same_metadata: true };
const MODE_NONE: &Mode = &Mode::None;

fn admitted(scene: &Scene) -> Admission {
    match scene.verdict() {
        Verdict::Admit(admission) => admission,
        other => panic!("{other:?}"),
    }
}

fn mode(secret: &str) -> Mode {
    Mode::Token(Shared::Set(Digest::of(secret)))
}

/// The rule that ends the connection, or the scopes that are left.
fn after(admission: &Admission, standing: &Standing<'_>) -> Result<Scopes, &'static str> {
    readmit(&admission.grant, &admission.proof, standing)
        .map(|grant| grant.scopes())
        .map_err(|refusal| refusal.rule)
}

fn standing(mode: &Mode) -> Standing<'_> {
    Standing { peer: PeerClass::Owner, mode, tokens: &[], pairing: Pairing::Unknown, ceiling: Scopes::ADMIN }
}

#[test]
fn s24_a_changed_secret_ends_what_came_in_by_the_old_one() {
    let admission = admitted(&Scene::local(&json!({"scopes": ["operator.write"]})));
    let same = mode(TOKEN);
    assert_eq!(after(&admission, &standing(&same)), Ok(Scopes::WRITE));
    let digest = Digest::of(TOKEN);
    let others = [
        mode("another"),
        Mode::None,
        Mode::Password(Shared::Set(digest)),
        Mode::Token(Shared::Missing),
        Mode::Token(Shared::Unusable),
    ];
    for mode in &others {
        assert_eq!(after(&admission, &standing(mode)), Err("credential-gone"), "{mode:?}");
    }
    let rule = Rule::named("credential-gone").unwrap();
    assert!(!rule.remedy.is_empty());
}

#[test]
fn s40_what_is_left_is_never_more_and_may_be_less() {
    let admission = admitted(&Scene::local(&json!({"scopes": ["operator.write", "operator.pairing"]})));
    let mode = mode(TOKEN);
    for (ceiling, left) in [
        (Scopes::ADMIN, Scopes::WRITE | Scopes::PAIRING),
        (Scopes::WRITE, Scopes::WRITE),
        (Scopes::READ, Scopes::READ),
        (Scopes::NONE, Scopes::NONE),
    ] {
        assert_eq!(after(&admission, &Standing { ceiling, ..standing(&mode) }), Ok(left));
    }
}

#[test]
fn a_user_who_is_no_owner_any_more_loses_what_owners_have() {
    let mode = mode(TOKEN);
    let local = admitted(&Scene::local(&json!({})));
    let socket = admitted(&Scene { door: Door::Owner, ..Scene::local(&json!({})) });
    let scene = Scene {
        device: Some(Ok(proven(7))),
        pairing: PAIRED,
        surroundings: own_page(),
        ..Scene::local(&json!({}))
    };
    let paired = admitted(&scene);
    for (peer, of_local, of_paired) in [
        (PeerClass::Owner, Ok(Scopes::READ), Ok(Scopes::READ)),
        (PeerClass::Allowed(7), Err("credential-gone"), Ok(Scopes::READ)),
        (PeerClass::Unknown, Err("credential-gone"), Ok(Scopes::READ)),
        (PeerClass::Other(7), Err("credential-gone"), Err("credential-gone")),
    ] {
        let standing = Standing { peer, pairing: PAIRED, ..standing(&mode) };
        assert_eq!(after(&local, &standing), of_local);
        assert_eq!(after(&socket, &standing), of_local);
        assert_eq!(after(&paired, &standing), of_paired);
    }
    // The owner's socket asks for no secret, so no change of it matters.
    assert_eq!(after(&socket, &standing(MODE_NONE)), Ok(Scopes::READ));
}

#[test]
fn s23_a_removed_device_or_a_revoked_token_ends_the_connection() {
    let digest = Digest::of("made-up");
    let credential = Credential::DeviceToken { digest, scopes: Scopes::WRITE };
    let write = json!({"scopes": ["operator.write"]});
    let scene = Scene {
        device: Some(Ok(proven(7))),
        pairing: PAIRED,
        surroundings: own_page(),
        credential,
        ..Scene::local(&write)
    };
    let admission = admitted(&scene);
    let mode = mode("another");
    let held = |role, scopes| [HeldToken { role, digest, scopes }];
    let with =
        |tokens: &[HeldToken], pairing| after(&admission, &Standing { tokens, pairing, ..standing(&mode) });
    let operator = held(Role::Operator, Scopes::WRITE);
    assert_eq!(with(&operator, PAIRED), Ok(Scopes::WRITE));
    assert_eq!(with(&held(Role::Operator, Scopes::READ), PAIRED), Ok(Scopes::READ));
    assert_eq!(with(&[], PAIRED), Err("credential-gone"));
    assert_eq!(with(&held(Role::Node, Scopes::WRITE), PAIRED), Err("credential-gone"));
    assert_eq!(with(&operator, Pairing::Unknown), Err("credential-gone"));
    let record = |roles: &'static [Role], approved| Pairing::Known { roles, approved, same_metadata: true };
    assert_eq!(with(&operator, record(&[Role::Operator], Scopes::READ)), Ok(Scopes::READ));
    assert_eq!(with(&operator, record(&[Role::Node], Scopes::WRITE)), Err("credential-gone"));
}

#[test]
fn a_used_setup_code_leaves_the_record_to_stand_on() {
    let credential = Credential::Bootstrap { digest: Digest::of("made-up") };
    let scene = Scene { device: Some(Ok(proven(7))), credential, ..Scene::local(&json!({})) };
    let admission = admitted(&scene);
    let mode = mode("another");
    assert_eq!(after(&admission, &Standing { pairing: PAIRED, ..standing(&mode) }), Ok(Scopes::READ));
    assert_eq!(after(&admission, &standing(&mode)), Err("credential-gone"));
}

#[test]
fn mode_none_lets_go_of_what_it_let_in() {
    let admission = admitted(&Scene { credential: Credential::NoneRequired, ..Scene::local(&json!({})) });
    assert_eq!(after(&admission, &standing(MODE_NONE)), Ok(Scopes::READ));
    assert_eq!(after(&admission, &standing(&mode(TOKEN))), Err("credential-gone"));
}
