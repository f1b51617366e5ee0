//! How a stream is cut into pieces makes no difference, and no stream does harm.

use loopgate::limits;
use loopgate::session::Phase;

use crate::rig::{Random, Rig, close, frame, frames, header, text, upgrade_request, upgrade_with};

/// Everything that a peer sees, and the gateway. Not whether our side was ended first: that depends on whose end came
/// first.
#[derive(Debug, PartialEq)]
struct Seen {
    told: Vec<String>,
    messages: Vec<String>,
    refusals: Vec<(String, u16, u16)>,
    written: Vec<u8>,
    phase: Phase,
}

#[test]
fn any_cut_of_a_stream_gives_the_same() {
    for (name, stream) in streams() {
        let whole = see([stream.as_slice()]);
        assert!(!whole.told.is_empty(), "{name}");
        assert_eq!(see(stream.chunks(1)), whole, "{name} byte by byte");
        for seed in 0..60 {
            assert_eq!(see(cut(&stream, seed)), whole, "{name}, seed {seed}");
        }
    }
}

#[test]
fn any_cut_of_noise_gives_the_same_and_does_no_harm() {
    for seed in 0..600 {
        let mut random = Random(seed);
        let stream = noise(&mut random);
        let whole = see([stream.as_slice()]);
        assert_eq!(see(cut(&stream, seed)), whole, "seed {seed}");
        assert_eq!(see(stream.chunks(1)), whole, "seed {seed} byte by byte");
        assert_eq!(whole.phase, Phase::Closed, "seed {seed}");
    }
}

/// Every refusal says something, and the close frame says the same.
#[test]
fn no_refusal_is_silent() {
    let mut refusals = 0;
    for seed in 0..600 {
        let mut rig = Rig::new();
        rig.bytes(&noise(&mut Random(seed)));
        let Some(refusal) = rig.refusals.first() else { continue };
        refusals += 1;
        assert!(!refusal.close_reason().is_empty() && !refusal.rule.is_empty() && !refusal.remedy.is_empty());
        assert!(refusal.reason.len() <= limits::CLOSE_REASON_BYTES_MAX, "{}", refusal.reason);
        assert_ne!(refusal.code.number(), 1000);
    }
    assert!(refusals > 100, "{refusals}");
}

fn see<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut rig = Rig::new();
    for piece in pieces {
        rig.bytes(piece);
    }
    rig.eof();
    let bound = limits::READ_TURN_BYTES_MAX * 8 + limits::QUEUED_BYTES_MAX * 2;
    assert!(rig.heap_max < bound, "{} bytes held", rig.heap_max);
    Seen {
        told: rig.told,
        messages: rig.messages,
        refusals: rig.refusals.iter().map(|r| (r.reason.to_string(), r.status, r.code.number())).collect(),
        written: rig.written,
        phase: rig.session.phase(),
    }
}

fn cut(stream: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut random = Random(seed);
    let longest = 1 + random.below(stream.len().max(2));
    let mut pieces = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

pub(crate) fn streams() -> Vec<(&'static str, Vec<u8>)> {
    let upgrade = upgrade_request();
    let fragmented =
        [frame(0x01, b"{\"a\":"), frame(0x89, b"p1"), frame(0x00, b""), frame(0x89, b""), frame(0x80, b"1}")];
    let split = ["ü€".as_bytes(), "\u{1f600}".as_bytes()].concat();
    vec![
        ("plain", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("body", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
        ("half a head", b"GET /healthz HTTP/1.1\r\nHost: local".to_vec()),
        ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("http 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("garbage without a line", vec![b'a'; 100]),
        ("garbage late in a line", [vec![b'a'; 90], b"\x00".to_vec(), vec![b'a'; 20]].concat()),
        ("bare line feeds", b"GET / HTTP/1.1\nHost: a\n\n".to_vec()),
        ("bare line feed at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\nrest".to_vec()),
        (
            "many headers",
            [b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), b"x: y\r\n".repeat(80), b"\nz".to_vec()].concat(),
        ),
        (
            "long head",
            [b"GET / HTTP/1.1\r\nCookie: ".to_vec(), vec![b'c'; 20_000], b"\r\n\n\x00".to_vec()].concat(),
        ),
        ("upgrade alone", upgrade.clone()),
        ("no upgrade", upgrade_with("Content-Length: 3\r\n")),
        (
            "conversation",
            [upgrade.clone(), text("connect"), text("one"), text("two"), close(1001, "bye")].concat(),
        ),
        ("pipelined", [upgrade.clone(), (0..40).flat_map(|i| text(&format!("m{i}"))).collect()].concat()),
        ("fragments", [upgrade.clone(), fragmented.concat(), fragmented.concat(), close(1000, "")].concat()),
        (
            "characters over fragments",
            [upgrade.clone(), frame(0x01, &split[..3]), frame(0x00, &split[3..6]), frame(0x80, &split[6..])]
                .concat(),
        ),
        ("binary", [upgrade.clone(), frame(0x82, b"{}"), frame(0x82, b"\xff")].concat()),
        ("bad text", [upgrade.clone(), text("connect"), frame(0x81, b"a\xffb"), text("late")].concat()),
        ("unmasked", [upgrade.clone(), text("connect"), vec![0x81, 0x01, b'a'], text("late")].concat()),
        ("too large", [upgrade.clone(), header(0x81, 65_537), vec![0; 70_000], close(1009, "")].concat()),
        ("large", [upgrade.clone(), text("connect"), text(&"x".repeat(200_000)), text("small")].concat()),
        ("mid-frame", [upgrade.clone(), text("connect"), text("one")[..5].to_vec()].concat()),
        ("forbidden close", [upgrade.clone(), close(1005, ""), text("late")].concat()),
        ("after close", [upgrade, close(1000, ""), text("late"), vec![0xff; 50]].concat()),
    ]
}

/// Bytes that get somewhere: noise in each phase, and frames that are right but for something.
pub(crate) fn noise(random: &mut Random) -> Vec<u8> {
    let mut stream = Vec::new();
    if random.below(8) > 0 {
        stream.extend(upgrade_request());
    }
    if random.below(3) > 0 {
        stream.extend(text("connect"));
    }
    for _ in 0..random.below(12) {
        let len = random.below(300);
        let payload: Vec<u8> = random.bytes(len).iter().map(|b| b & 0x7f).collect();
        match random.below(10) {
            0 => stream.extend(random.bytes(20)),
            1 => stream.extend(frame(0x81, &random.bytes(10))),
            2 => stream.extend(frame(0x01, &payload)),
            3 => stream.extend(frame([0x00, 0x80][random.below(2)], &payload)),
            4 => stream.extend(frame(0x89, &payload)),
            5 if random.below(4) == 0 => {
                stream.extend(close(u16::try_from(random.below(5_000)).unwrap(), "why"));
            }
            6 if random.below(4) == 0 => stream.extend(header(0x81, random.next())),
            _ => stream.extend(frame(0x81, &payload)),
        }
    }
    stream
}

/// What comes out of a session is always whole frames after the upgrade, whatever went in.
#[test]
fn whatever_goes_in_whole_frames_come_out() {
    for seed in 0..600 {
        let mut random = Random(seed ^ 0xa5a5);
        let mut rig = Rig::connecting();
        rig.bytes(&noise(&mut random));
        rig.eof();
        frames(&rig.written);
    }
}
