//! A former release: what it left in the store is taken over by this one, to the last byte, or it is refused and told.
//!
//! [`Former`] writes format 1 of the memory file and of the lots on its own, as version 0.1.0 did. It is never adapted: a
//! version that writes another format goes on to read this one. What was saved of each connection is
//! `tests/data/handover/1`, of which `tests/handover_core/versions.rs` tells.

use std::fs::{self, File, Permissions};
use std::io::{IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use data_encoding::HEXLOWER;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::sockopt::socket_cookie;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::common::client::{Device, cli};
use crate::kit::{READ, cut_off};
use crate::live::keeper::{BOOK, LOT};
use crate::live::{Gate, Peer, dial, operator, unix_ms};
use crate::rig::{Home, Stored};

/// A process of version 0.1.0 that is about to end.
struct Former {
    cipher: XChaCha20Poly1305,
    epoch_ns: u64,
    book: File,
    /// The end of the tape.
    end: u64,
    /// The ends of the lots: that which sends and that which takes, of the young one and of the old one.
    ends: [UnixDatagram; 4],
}

/// How the connections stood, in the order of their slots.
const NAMES: [&str; 6] = ["challenged", "operator-v3", "subscriber-v4", "node", "mid-message", "leaving"];

#[test]
fn what_version_0_1_0_left_is_taken_over() {
    let (mut gate, peers) = inherit(|_, _| {});
    let [mut challenged, mut admin, mut subscriber, mut node, mut middle, mut leaving] = peers;
    // A call that the node was asked before is answered.
    let call = saved("shared.json")["invocations"][0].clone();
    let told = json!({"id": call["id"], "nodeId": call["nodeId"], "ok": true, "payload": {"n": 1}});
    assert_eq!(node.ok("node.invoke.result", &told), json!({"ok": true}));
    let answer = admin.answer(call["request"].as_str().expect("an id")).expect("an answer");
    assert_eq!(answer["payload"]["payload"], json!({"n": 1}));
    // A frame that was half written and a message that was half read are finished.
    assert_eq!(middle.answer("unheard").expect("an answer")["ok"], true);
    middle.raw().write_all(&hex("mid-message.unsent.hex")).expect("room");
    assert_eq!(middle.answer("half").expect("an answer")["ok"], true);
    assert_eq!(leaving.end().0, 1008);
    // The challenge is still good, and the process is still the same to its clients.
    let nonce = saved("challenged.json")["stage"]["nonce"].clone();
    let params = Device::new(8).sign(cli(4, READ), nonce.as_str().expect("a nonce"), unix_ms());
    let hello = challenged.admit(params);
    assert_eq!(hello["server"]["bootId"], saved("shared.json")["bootId"]);
    let listed = admin.ok("system-presence", &json!({}));
    let desk = listed.as_array().expect("a list").iter().find(|entry| entry["mode"] == "node");
    assert_eq!(desk.expect("the node")["host"], "desk");
    // What this version has taken over it hands over itself.
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        gate.come_to_rest();
        gate.renew(signal);
        for peer in [&mut challenged, &mut admin, &mut subscriber, &mut middle] {
            peer.ok("health", &json!({}));
        }
        subscriber.ok("sessions.messages.unsubscribe", &json!({"key": "agent:main:main"}));
        node.ok("node.pending.drain", &json!({}));
    }
}

/// A release that is newer than this one may say things that cannot be understood here.
#[test]
fn a_record_that_cannot_be_understood_costs_its_own_connection_only() {
    let (gate, peers) = inherit(|name, record| match name {
        "subscriber-v4" => record["stage"]["name"] = json!("of-tomorrow"),
        "operator-v3" => record["ofTomorrow"] = json!({"said": "beside the rest"}),
        "node" => record["session"]["state"]["phase"] = json!(7),
        _ => {}
    });
    let [_, mut admin, mut subscriber, mut node, mut middle, _] = peers;
    cut_off("a stage of tomorrow", &subscriber.end());
    cut_off("a phase of tomorrow", &node.end());
    admin.ok("health", &json!({}));
    middle.raw().write_all(&hex("mid-message.unsent.hex")).expect("room");
    assert_eq!(middle.answer("half").expect("an answer")["ok"], true);
    gate.daemon.says(&["cannot be used", "of-tomorrow"]);
    gate.open().admit(operator(4, READ));
}

/// A gate that takes over from version 0.1.0, and the other ends of its connections. `change` what a record says.
fn inherit(change: impl Fn(&str, &mut Value)) -> (Gate, [Peer; 6]) {
    let home = Home::new();
    home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}}}"));
    let folder = home.path.join(".local/state/loopgate");
    fs::create_dir_all(&folder).expect("a folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("a mode");
    for (name, bytes) in [("pairing.json", &*text("pairing.json").into_bytes()), ("handover.key", &KEY)] {
        fs::write(folder.join(name), bytes).expect("a file");
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o600)).expect("a mode");
    }
    let mut clients = Vec::new();
    let gate = Gate::inheriting(home, |listener, port| {
        let mut former = Former::new();
        let accepted: Vec<TcpStream> = NAMES
            .iter()
            .map(|_| {
                clients.push(dial(port));
                accept(listener)
            })
            .collect();
        for (slot, (name, socket)) in (0..).zip(NAMES.iter().zip(&accepted)) {
            let mut record = saved(&format!("{name}.json"));
            // The recording was made by somebody else.
            record["uid"] = json!(geteuid().as_raw());
            change(name, &mut record);
            former.saves(slot, name, &record, socket);
        }
        // Those who have been there for a while lie together, the younger ones each alone.
        let (old, young) = accepted.split_at(3);
        former.parks(2, old);
        for one in young {
            former.parks(0, std::slice::from_ref(one));
        }
        former.leaves()
    });
    let written =
        |name: &str| if name == "mid-message" { hex("mid-message.written.hex") } else { Vec::new() };
    let peers: Vec<Peer> =
        clients.into_iter().zip(NAMES).map(|(stream, name)| Peer::midway(stream, written(name))).collect();
    (gate, peers.try_into().unwrap_or_else(|_| panic!("one for each name")))
}

impl Former {
    fn new() -> Self {
        let since_boot: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock").into();
        let moment = Duration::from_micros(saved("moment.json")["micros"].as_u64().expect("a number"));
        let epoch_ns = u64::try_from((since_boot - moment).as_nanos()).expect("a time");
        let fd = memfd_create(BOOK, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a memory file");
        let book = File::from(fd);
        book.set_permissions(Permissions::from_mode(0o600)).expect("a mode");
        book.set_len(FILE_BYTES).expect("a length");
        fcntl_add_seals(&book, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).expect("seals");
        let cipher = XChaCha20Poly1305::new(&KEY.into());
        let ((a, b), (c, d)) =
            (UnixDatagram::pair().expect("sockets"), UnixDatagram::pair().expect("sockets"));
        Self { cipher, epoch_ns, book, end: TAPE, ends: [a, b, c, d] }
    }

    /// A connection in a planned stop: its record, and its line in the table. Who was at rest
    /// has been saved before.
    fn saves(&mut self, slot: u32, name: &str, record: &Value, socket: &TcpStream) {
        let held = hex(&format!("{name}.held.hex"));
        let at_rest = ["challenged", "subscriber-v4", "node"].contains(&name);
        let cookie = socket_cookie(socket).expect("a cookie");
        let json = record.to_string();
        let length = u32::try_from(json.len()).expect("a length").to_le_bytes();
        let place = self.writes(slot, cookie, &[&length, json.as_bytes(), &held].concat());
        let number = |key: &str| record["stage"][key].as_u64().unwrap_or_default();
        let (seq, time, state) =
            if at_rest { (number("seq"), number("nextTick"), REST) } else { (0, 0, SAVED) };
        self.words(TABLE + u64::from(slot) * LINE, &[cookie, place, seq, time << 8 | state]);
    }

    /// Puts a record on the tape.
    fn writes(&mut self, owner: u32, cookie: u64, plain: &[u8]) -> u64 {
        let nonce = [u8::try_from(owner % 256).expect("a byte"); 24];
        let aad: Vec<u8> =
            [1, self.epoch_ns, u64::from(owner), cookie].iter().flat_map(|word| word.to_le_bytes()).collect();
        let payload = Payload { msg: plain, aad: &aad };
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).expect("a sealed record");
        let length = u32::try_from(nonce.len() + sealed.len()).expect("a length").to_le_bytes();
        let bytes = [&length[..], &owner.to_le_bytes(), &nonce, &sealed].concat();
        let place = self.end;
        self.book.write_all_at(&bytes, place).expect("room");
        self.end += bytes.len() as u64;
        place
    }

    fn words(&self, at: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.book.write_all_at(&bytes, at).expect("room");
    }

    /// Parks connections in one message, sent by this of [`Former::ends`].
    fn parks(&self, end: usize, sockets: &[TcpStream]) {
        let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)));
        let mark = RUN.to_le_bytes();
        sendmsg(&self.ends[end], &[IoSlice::new(&mark)], &mut control, SendFlags::empty()).expect("room");
    }

    /// The end: what all connections share, and everything in the store.
    fn leaves(mut self) -> Vec<Stored> {
        let shared = self.writes(u32::MAX, 0, saved("shared.json").to_string().as_bytes());
        let [a, b, c, d] = self.ends.each_ref().map(|end| socket_cookie(end).expect("a cookie"));
        let magic = u64::from_le_bytes(*b"loopgate");
        self.words(0, &[magic, 1, self.epoch_ns, RUN, 0, shared, a, b, c, d]);
        let lots = self.ends.into_iter().map(|end| Stored::new(LOT, OwnedFd::from(end)));
        lots.chain([Stored::new(BOOK, OwnedFd::from(self.book))]).collect()
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/handover/1").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn saved(name: &str) -> Value {
    serde_json::from_str(&text(name)).expect("JSON")
}

fn hex(name: &str) -> Vec<u8> {
    HEXLOWER.decode(text(name).trim().as_bytes()).expect("hexadecimal digits")
}

/// The format: where the table begins, what a line of it takes, states in it, and where the tape begins.
const TABLE: u64 = 4096;
const LINE: u64 = 32;
const REST: u64 = 4;
const SAVED: u64 = 5;
const TAPE: u64 = 4 << 20;
const FILE_BYTES: u64 = 1 << 60;
const KEY: [u8; 32] = [7; 32];
/// The number of the former process.
const RUN: u64 = 3;
