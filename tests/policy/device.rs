//! Device proofs.

use data_encoding::BASE64;
use loopgate::limits::DEVICE_SKEW_MS;
use loopgate::policy::admit::Verdict;
use loopgate::policy::device::{Fault, same_metadata, verify};
use loopgate::policy::facts::Pairing;
use loopgate::policy::scope::{Role, Scopes};
use loopgate::wire::connect::Connect;
use serde_json::{Value, json};

use crate::kit::{NONCE, Scene, UNIX_MS, connect, merge, params, signed};

const PUBLIC_KEY: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
const DEVICE_ID: &str = "56475aa75463474c0285df5dbf2bcab73da651358839e9b77481b2eab107708c";
const V2: &str = "Kfv4iX4lVTxLN2tb0KgPEICzGEztiA91O-2-csP6Q1nM8vOMV11tZtZ1FUzDsHJxsFh_EAOJAm4F32l7nObtBg";
const V3: &str = "fab1bTUpO5UtS8RcJFRRYP7QTNwiJ-dpV3iufy3GjktwErgqxbRklZjXBzZdcUkQYZp_Dhr_i3q0PoGm5zR1BQ";
const V3_NO_FAMILY: &str =
    "2AchIVQWmn7gYnE0HczZdGMGKWCY3kFbU3o_Cm0dRZIBhXr-wVaAyHHu1FoO_kKYleAOdH-HlXkF3nod4gR_BA";

fn fault(params: &Value) -> Option<Fault> {
    check(params, NONCE, UNIX_MS).err()
}

fn check(params: &Value, nonce: &str, unix_ms: u64) -> Result<String, Fault> {
    let connect = Connect::parse(params).unwrap();
    verify(&connect, nonce, unix_ms).unwrap().map(|device| device.id().to_string())
}

/// The test vector of the protocol, with another signature.
fn vector(family: Option<&str>, signature: &str) -> Value {
    let mut params = params(&json!({
        "scopes": ["operator.admin", "operator.read"], "auth": {"token": "tok-123"},
        "device": {
            "id": DEVICE_ID, "publicKey": PUBLIC_KEY, "signature": signature, "nonce": NONCE,
            "signedAt": 1_700_000_000_000_u64,
        },
    }));
    if let Some(family) = family {
        merge(&mut params, &json!({"client": {"deviceFamily": family}}));
    }
    params
}

#[test]
fn the_vectors_of_the_protocol_hold() {
    for (family, signature) in
        [(Some("mac"), V3), (Some(" MAC "), V3), (None, V3_NO_FAMILY), (None, V2), (Some("mac"), V2)]
    {
        assert_eq!(check(&vector(family, signature), NONCE, UNIX_MS).unwrap(), DEVICE_ID, "{family:?}");
    }
    assert_eq!(fault(&vector(None, V3)), Some(Fault::Signature));
    assert_eq!(fault(&vector(Some("mac"), V3_NO_FAMILY)), Some(Fault::Signature));
}

#[test]
fn every_recorded_proof_holds() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../data/device-vectors.json")).unwrap();
    assert_eq!(vectors.len(), 77);
    for vector in &vectors {
        let params = &vector["connect"];
        let signed_at = params["device"]["signedAt"].as_u64().unwrap();
        let nonce = vector["nonce"].as_str().unwrap();
        assert_eq!(check(params, nonce, signed_at).unwrap(), params["device"]["id"], "{}", vector["from"]);
        assert_eq!(check(params, NONCE, signed_at), Err(Fault::Nonce), "{}", vector["from"]);
    }
}

#[test]
fn a_key_is_read_from_every_form() {
    let key = data_encoding::BASE64URL_NOPAD.decode(PUBLIC_KEY.as_bytes()).unwrap();
    let mut der = data_encoding::HEXLOWER.decode(b"302a300506032b6570032100").unwrap();
    der.extend(&key);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&der));
    let forms = [PUBLIC_KEY.to_owned(), BASE64.encode(&key), pem.clone(), pem.replace('\n', "\r\n")];
    let device = |key: &str| {
        let mut params = vector(None, V2);
        params["device"]["publicKey"] = json!(key);
        verify(&Connect::parse(&params).unwrap(), NONCE, UNIX_MS).unwrap()
    };
    for form in &forms {
        assert_eq!(device(form).unwrap().public_key(), PUBLIC_KEY, "{form}");
    }
    let short = BASE64.encode(&key[1..]);
    for bad in ["-", "BEGIN", "not a key", &short, &pem.replace("MCow", "MCox")] {
        assert_eq!(device(bad), Err(Fault::Id), "{bad}");
    }
    let signature = data_encoding::BASE64URL_NOPAD.decode(V2.as_bytes()).unwrap();
    assert_eq!(fault(&vector(None, &BASE64.encode(&signature))), None);
}

#[test]
fn faults_are_found_in_the_order_of_the_protocol() {
    // Everything is wrong at first; one thing after the other is put right.
    let mut wrong = vector(None, "AAAA");
    merge(&mut wrong, &json!({"device": {"id": "00", "nonce": " ", "signedAt": 1}}));
    let steps = [
        (json!({}), Some(Fault::Id)),
        (json!({"device": {"id": DEVICE_ID}}), Some(Fault::Skew)),
        (json!({"device": {"signedAt": UNIX_MS}}), Some(Fault::NonceMissing)),
        (json!({"device": {"nonce": "x"}}), Some(Fault::Nonce)),
        (json!({"device": {"nonce": NONCE}}), Some(Fault::Signature)),
        (json!({"device": {"signature": V2}}), None),
    ];
    for (step, want) in steps {
        merge(&mut wrong, &step);
        assert_eq!(fault(&wrong), want, "{step}");
    }
}

#[test]
fn a_key_that_is_no_point_and_a_weak_key_prove_nothing() {
    // y = 2 is on no point of the curve; the neutral point verifies everything but for the strict check.
    for (first, want) in [(2_u8, Fault::Key), (1, Fault::Signature)] {
        let mut key = [0_u8; 32];
        key[0] = first;
        let id = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(key));
        let mut signature = [0_u8; 64];
        signature[0] = 1;
        let mut params = vector(None, &BASE64.encode(&signature));
        merge(&mut params, &json!({"device": {"id": id, "publicKey": BASE64.encode(&key)}}));
        assert_eq!(fault(&params), Some(want), "{first}");
    }
}

#[test]
fn s20_no_signed_field_can_be_tampered() {
    let original = json!({
        "client": {"deviceFamily": "Mac"}, "auth": {"token": "a", "deviceToken": "b"},
        "scopes": ["operator.read", "operator.write"],
    });
    let changes = [
        json!({"client": {"id": "openclaw-probe"}}),
        json!({"client": {"mode": "probe"}}),
        json!({"role": "node"}),
        json!({"scopes": []}),
        json!({"scopes": ["operator.read"]}),
        json!({"scopes": ["operator.write", "operator.read"]}),
        json!({"scopes": ["operator.read", "operator.write", "operator.admin"]}),
        json!({"scopes": ["operator.read,operator.write"]}),
        json!({"auth": {"token": "c"}}),
        json!({"auth": {"token": ""}}),
        json!({"device": {"signedAt": UNIX_MS + 1}}),
        json!({"device": {"nonce": "other"}}),
        json!({"device": {"id": DEVICE_ID}}),
        json!({"device": {"publicKey": PUBLIC_KEY}}),
        json!({"device": {"id": DEVICE_ID, "publicKey": PUBLIC_KEY}}),
    ];
    let version_3_only = [
        json!({"client": {"platform": "darwin"}}),
        json!({"client": {"deviceFamily": "PC"}}),
        json!({"client": {"platform": "linux|mac", "deviceFamily": null}}),
    ];
    for version in [2, 3] {
        let signed = signed(&params(&original), version, 7);
        assert_eq!(fault(&signed), None);
        let bound = changes.iter().chain(version_3_only.iter().filter(|_| version == 3));
        for change in bound {
            let mut tampered = signed.clone();
            merge(&mut tampered, change);
            if tampered["client"]["deviceFamily"].is_null() {
                tampered["client"].as_object_mut().unwrap().remove("deviceFamily");
            }
            assert!(fault(&tampered).is_some(), "v{version}: {change}");
        }
        let text = signed["device"]["signature"].as_str().unwrap();
        for index in 0..text.len() {
            let other = if &text[index..=index] == "A" { "B" } else { "A" };
            let mut tampered = signed.clone();
            tampered["device"]["signature"] =
                json!(format!("{}{other}{}", &text[..index], &text[index + 1..]));
            assert_eq!(fault(&tampered), Some(Fault::Signature), "v{version}, character {index}");
        }
    }
}

#[test]
fn s20_a_field_that_could_be_read_in_two_ways_is_not_signed_at_all() {
    for change in [
        json!({"client": {"id": "a|b"}}),
        json!({"client": {"mode": "a|b"}}),
        json!({"client": {"platform": "a|b"}}),
        json!({"client": {"deviceFamily": "a|b"}}),
        json!({"role": "operator|"}),
        json!({"scopes": ["a|b"]}),
        json!({"scopes": ["a,b"]}),
    ] {
        assert_eq!(fault(&signed(&params(&change), 3, 7)), Some(Fault::Signature), "{change}");
    }
    // A secret is chosen by people; where it ends is known all the same.
    assert_eq!(fault(&signed(&params(&json!({"auth": {"token": "a|b,c"}})), 3, 7)), None);
}

#[test]
fn s20_what_is_not_signed_has_no_bearing() {
    let signed = signed(&params(&json!({})), 3, 7);
    let verdict = |params: &Value| {
        let connect = Connect::parse(params).unwrap();
        let device = verify(&connect, NONCE, UNIX_MS);
        let roles: &[Role] = &[Role::Operator];
        let pairing = Pairing::Known { roles, approved: Scopes::READ, same_metadata: true };
        match (Scene { connect, device, pairing, ..Scene::local(&json!({})) }).verdict() {
            Verdict::Admit(admission) => admission,
            other => panic!("{other:?}"),
        }
    };
    let want = verdict(&signed);
    for change in [
        json!({"minProtocol": 1, "maxProtocol": 99}),
        json!({"caps": ["browser"], "commands": ["system.run"], "permissions": {"x": true}, "pathEnv": "/bin"}),
        json!({"locale": "de", "userAgent": "x", "newer": 1}),
        json!({"client": {"version": "9", "displayName": "d", "modelIdentifier": "m", "instanceId": "i"}}),
        json!({"auth": {"password": "wrong"}}),
    ] {
        let mut changed = signed.clone();
        merge(&mut changed, &change);
        assert_eq!(verdict(&changed), want, "{change}");
    }
}

#[test]
fn s41_a_captured_proof_is_good_for_one_nonce_and_two_minutes() {
    let signed = signed(&params(&json!({})), 3, 7);
    for late in [0, 1, DEVICE_SKEW_MS] {
        assert!(
            check(&signed, NONCE, UNIX_MS + late).is_ok() && check(&signed, NONCE, UNIX_MS - late).is_ok()
        );
    }
    for late in [DEVICE_SKEW_MS + 1, 180_000, u64::MAX - UNIX_MS] {
        assert_eq!(check(&signed, NONCE, UNIX_MS + late), Err(Fault::Skew));
        assert_eq!(check(&signed, NONCE, UNIX_MS.saturating_sub(late)), Err(Fault::Skew));
    }
    for nonce in ["", "9ceaefd6-d414-43af-812e-cd04d325eebd", &NONCE.to_uppercase(), &NONCE[1..]] {
        assert_eq!(check(&signed, nonce, UNIX_MS), Err(Fault::Nonce), "{nonce}");
    }
}

#[test]
fn metadata_is_compared_as_far_as_it_was_stored() {
    let client = connect(&json!({"client": {"platform": " Linux", "deviceFamily": "PC"}})).client;
    for (platform, family, want) in [
        (None, None, true),
        (Some("linux"), None, true),
        (Some("LINUX "), Some("pc"), true),
        (Some("darwin"), None, false),
        (Some("linux"), Some("mac"), false),
    ] {
        assert_eq!(same_metadata(platform, family, &client), want, "{platform:?} {family:?}");
    }
    let without = connect(&json!({})).client;
    assert!(!same_metadata(Some("linux"), Some("pc"), &without));
}
