//! How legs come about: who may hear our secret, and what a leg says of whom it is for.

use std::time::Duration;

use loopgate::gateway::LegSeed;
use loopgate::gateway::io::{Door, Input, Peer};
use loopgate::journal::{Field, Kind};
use loopgate::limits;
use loopgate::policy::device;
use loopgate::wire::connect::Connect;
use serde_json::{Value, json};

use crate::bench::{ALL, Bench, PORT, openclaw, settings};
use crate::common::client::{Device, cli};
use crate::common::{Client, OWNER, TOKEN, World};
use crate::runtime::{Manner, NONCE, Runtime};

/// S28: not a byte before the kernel has told whose process is there.
#[test]
fn nothing_is_sent_before_the_owner_is_known() {
    let mut world = World::new(&openclaw(), &settings(Some(PORT)));
    world.sleep(Duration::ZERO);
    assert_eq!(world.dialled.len(), 1);
    let (conn, port) = world.dialled[0];
    assert_eq!((port, world.gateway.outgoing(conn).len()), (PORT, 0));
    world.sleep(Duration::from_secs(5));
    assert_eq!((world.gateway.outgoing(conn).len(), world.dialled.len()), (0, 1), "one at a time");
    assert!(!world.gateway.wants_read(conn), "nobody there has anything to say yet");
    world.handle(Input::Dialled { conn, owner: OWNER });
    let head = String::from_utf8(world.take(conn)).unwrap();
    assert!(head.starts_with(&format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n")), "{head}");
    assert!(!head.contains("Origin") && !head.contains(TOKEN), "{head}");
    // What has accepted and says nothing has ten seconds in all.
    assert!(world.closed.is_empty());
    world.sleep(limits::LEG_HANDSHAKE.checked_sub(Duration::from_millis(5_001)).unwrap());
    assert!(world.closed.is_empty());
    world.sleep(Duration::from_millis(1));
    assert_eq!(world.closed, [conn]);
}

/// Nobody is answered as if there were no runtime while a moment tells whether there is.
#[test]
fn the_first_client_comes_in_when_the_runtime_was_tried() {
    let (none, some) = (settings(None), settings(Some(PORT)));
    assert!(World::new(&openclaw(), &none).gateway.accepting(), "there should be none");
    assert!(!World::new(&openclaw(), &some).gateway.accepting());
    let starting = json!({"code": "UNAVAILABLE", "message": "starting", "retryable": true});
    for manner in [Manner::Serves, Manner::Away, Manner::Refuses(starting)] {
        assert!(Bench::in_manner(manner.clone()).world.gateway.accepting(), "{manner:?}");
    }
    for manner in [Manner::Mute, Manner::Frozen] {
        let mut bench = Bench::in_manner(manner.clone());
        assert!(!bench.world.gateway.accepting(), "{manner:?}");
        bench.sleep(limits::RUNTIME_FIRST);
        assert!(bench.world.gateway.accepting(), "{manner:?} for too long");
    }
}

#[test]
fn another_users_process_hears_nothing_and_is_told_of() {
    for owner in [OWNER + 1, 65534] {
        let mut bench = Bench::with(Runtime { owner, ..Runtime::new(4, OWNER) });
        assert!(bench.runtime.legs.is_empty(), "the connection was closed");
        let stranger = |field| bench.world.last(Kind::RuntimeStranger, field);
        assert_eq!(stranger(Field::PeerUid), Some(owner.to_string()));
        assert_eq!(stranger(Field::RuntimePort), Some(PORT.to_string()));
        assert!(stranger(Field::Remedy).is_some());
        assert_eq!(bench.runtime.dials, 1);
        bench.sleep(limits::RUNTIME_REFUSED_RETRY);
        assert_eq!(bench.runtime.dials, 2, "a person has to mend that");
        let (mut client, _) = bench.client(4, ALL);
        assert_eq!(bench.runtime.dials, 2, "nobody's leg is tried");
        bench.ask(&mut client, "1", "wizard.start", "{}");
        let error = &client.answer("1")["error"];
        assert_eq!((&error["code"], &error["retryable"]), (&json!("UNAVAILABLE"), &json!(true)));
        assert!(error["message"].as_str().unwrap().contains(&format!("user {owner}")), "{error}");
    }
}

/// Each connection is looked at anew: the port may change hands.
#[test]
fn a_port_that_changes_hands_gets_no_secret_by_a_later_leg() {
    let mut bench = Bench::new();
    bench.runtime.owner = 65534;
    let (_client, name) = bench.client(4, ALL);
    assert!(!bench.runtime.has_leg(&name) && bench.runtime.legs.len() == 1, "closed, unheard");
    bench.runtime.owner = 0;
    bench.sleep(limits::RUNTIME_REFUSED_RETRY);
    assert!(bench.runtime.leg(&name).open, "root could read the secret where it lies");
}

#[test]
fn the_gateway_introduces_itself_with_a_device_and_the_secret() {
    let mut bench = Bench::with(Runtime::new(3, OWNER));
    let now = bench.world.now.unix_ms;
    let sentinel = bench.runtime.sentinel();
    let params = sentinel.connect.clone().unwrap();
    let connect = Connect::parse(&params).unwrap();
    assert_eq!(connect.auth.token.as_deref(), Some(TOKEN));
    assert_eq!((connect.min_protocol, connect.max_protocol), (3, 4));
    assert!(params["scopes"].as_array().unwrap().contains(&json!("operator.admin")));
    assert!(matches!(device::verify(&connect, NONCE, now), Some(Ok(_))));
    assert!(matches!(device::verify(&connect, "another", now), Some(Err(_))), "what it signs is the nonce");
    assert_eq!(bench.world.last(Kind::RuntimeReady, Field::RuntimeVersion).as_deref(), Some("2026.3.13"));
    assert!(bench.world.gateway.status_line().ends_with("; runtime 2026.3.13"));
}

#[test]
fn a_leg_says_what_its_client_said_and_no_more_than_was_granted() {
    let mut bench = Bench::new();
    let own = bench.runtime.sentinel().connect.clone().unwrap()["device"]["id"].clone();
    let narrow = "{ceiling: {operator: ['operator.read', 'operator.approvals']}, runtime: {port: 18790}}";
    bench.world.reload(&openclaw(), narrow);
    let mut params = cli(4, ALL);
    params["caps"] = json!(["tool-events", "made-up"]);
    params["client"] = json!({"id": "test", "mode": "ui", "version": "7", "platform": "darwin",
        "displayName": "one", "instanceId": "mine"});
    let params = {
        let mut client = Client::open(&mut bench.world);
        let nonce = client.nonce();
        let signed = Device::new(1).sign(params, &nonce, bench.world.now.unix_ms);
        let hello = client.connect(&mut bench.world, signed);
        assert_eq!(hello["payload"]["auth"]["scopes"], json!(["operator.approvals", "operator.read"]));
        bench.turn();
        bench.runtime.leg("mine").connect.clone().unwrap()
    };
    let mut scopes: Vec<&str> =
        params["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    scopes.sort_unstable();
    assert_eq!(scopes, ["operator.approvals", "operator.read"]);
    assert_eq!(params["caps"], json!(["tool-events", "made-up"]));
    let client = &params["client"];
    assert_eq!(
        (&client["id"], &client["mode"], &client["version"]),
        (&json!("test"), &json!("ui"), &json!("7"))
    );
    assert_eq!(client["displayName"], "one");
    // The device is ours, and so is its platform: one that changes has to be paired again.
    assert_eq!((&params["device"]["id"], &client["platform"]), (&own, &json!("linux")));
    let connect = Connect::parse(&params).unwrap();
    assert!(matches!(device::verify(&connect, NONCE, bench.world.now.unix_ms), Some(Ok(_))));
}

#[test]
fn every_member_has_one_leg_of_its_own() {
    let mut bench = Bench::new();
    let clients: Vec<_> = (0..3).map(|_| bench.client(4, &["operator.read"])).collect();
    assert_eq!((bench.runtime.legs.len(), bench.runtime.dials), (4, 4));
    for (client, name) in &clients {
        assert!(bench.runtime.leg(name).open, "{:?}", client.conn);
    }
    bench.sleep(Duration::from_secs(60));
    assert_eq!(bench.runtime.dials, 4, "a leg stays");
}

/// The older runtime refuses names that it does not know.
#[test]
fn an_older_runtime_hears_the_names_of_its_own_day() {
    for (protocol, id, mode) in [(3, "gateway-client", "backend"), (4, "openclaw-tui", "tui")] {
        let mut bench = Bench::with(Runtime::new(protocol, OWNER));
        let mut params = cli(4, &["operator.read"]);
        params["client"] = json!({"id": "openclaw-tui", "mode": "tui", "version": "1", "platform": "linux",
            "instanceId": "mine"});
        let mut client = Client::open(&mut bench.world);
        client.nonce();
        let hello = client.connect(&mut bench.world, params);
        assert_eq!(hello["ok"], true, "{hello}");
        bench.turn();
        let said = bench.runtime.leg("mine").connect.clone().unwrap();
        assert_eq!((&said["client"]["id"], &said["client"]["mode"]), (&json!(id), &json!(mode)));
    }
}

/// Pages come from somewhere: the runtime asks them for their origin, and hears the gate's.
#[test]
fn a_pages_leg_has_the_gates_origin() {
    let mut bench = Bench::new();
    let mut params = cli(4, &["operator.read"]);
    params["client"] = json!({"id": "openclaw-control-ui", "mode": "webchat", "version": "1", "platform": "web",
        "instanceId": "page"});
    let (mut admin, name) = bench.client(4, ALL);
    let peer = Peer { door: Door::Tcp, address: None, uid: Some(OWNER), pid: None };
    let origin = "Host: 127.0.0.1:18789\r\nOrigin: http://127.0.0.1:18789\r\n";
    let connect = |bench: &mut Bench| {
        let mut client = Client::open_with(&mut bench.world, peer, origin);
        let nonce = client.nonce();
        let signed = Device::new(1).sign(params.clone(), &nonce, bench.world.now.unix_ms);
        client.connect(&mut bench.world, signed)
    };
    // A page is let in when somebody has approved its device.
    let asked = connect(&mut bench)["error"]["details"]["requestId"].clone();
    admin.ok(&mut bench.world, "device.pair.approve", json!({"requestId": asked}));
    let hello = connect(&mut bench);
    assert_eq!(hello["ok"], true, "{hello}");
    bench.turn();
    let head = bench.runtime.leg("page").head.clone().unwrap();
    assert!(head.contains("\r\nOrigin: http://127.0.0.1:18789\r\n"), "{head}");
    assert!(!bench.runtime.leg(&name).head.as_ref().unwrap().contains("Origin"));
}

/// What each answer to our `connect`, or to the upgrade, makes of the runtime.
#[test]
fn what_does_not_let_us_in_is_starting_refusing_or_away() {
    let starting =
        json!({"code": "UNAVAILABLE", "message": "starting", "retryable": true, "retryAfterMs": 500});
    let wrong = json!({"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch"});
    for (manner, status) in [
        (Manner::Refuses(starting), "runtime starting"),
        (Manner::Refuses(wrong), "runtime refusing"),
        (Manner::Answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "runtime away"),
        (Manner::Answers("SSH-2.0-OpenSSH_9\r\n"), "runtime away"),
        (Manner::Away, "runtime away"),
    ] {
        let mut bench = Bench::in_manner(manner.clone());
        let line = bench.world.gateway.status_line();
        assert!(line.ends_with(status), "{manner:?}: {line}");
        let refuses = bench.world.last(Kind::RuntimeRefuses, Field::Cause);
        assert_eq!(refuses.is_some(), status.ends_with("refusing"), "{refuses:?}");
        assert!(refuses.is_none_or(|why| why.contains("token mismatch")));
        bench.runtime.manner = Manner::Serves;
        bench.sleep(limits::RUNTIME_REFUSED_RETRY);
        assert!(bench.world.gateway.status_line().ends_with("runtime 2026.9.6"), "{manner:?}");
    }
    for hello in [json!({"protocol": 5}), json!({"protocol": "4"}), json!([])] {
        let mut bench = Bench::with(Runtime { hello: hello.clone(), ..Runtime::new(4, OWNER) });
        assert!(bench.world.gateway.status_line().ends_with("runtime refusing"), "{hello}");
        bench.turn();
    }
}

/// The device outlives a restart: its key comes from what the state folder has.
#[test]
fn the_same_folder_gives_the_same_device() {
    let id = |bench: &mut Bench| bench.runtime.sentinel().connect.clone().unwrap()["device"]["id"].clone();
    let (mut one, mut two) = (Bench::new(), Bench::new());
    assert_eq!(id(&mut one), id(&mut two));
    let mut setup = crate::common::setup(&openclaw(), &settings(Some(PORT)));
    setup.legs = LegSeed::derive(&[8; 32]);
    one.world.handle(Input::Reload(Box::new(setup)));
    one.die(false);
    one.runtime.manner = Manner::Serves;
    one.sleep(limits::RUNTIME_RETRY);
    assert_ne!(id(&mut one), id(&mut two));
}
