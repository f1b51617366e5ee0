//! Hosts, origins and proxies.

use loopgate::policy::facts::PeerClass;
use loopgate::policy::origin::{HostClass, Origin, OriginClass};
use loopgate::policy::surroundings::{FORWARDING, Surroundings, may_upgrade};
use serde_json::json;

use crate::kit::{PORT, Scene};

fn read(headers: &[(&str, &str)], port: Option<u16>) -> Surroundings {
    let allowed = ["https://ui.example".parse().unwrap(), "chrome-extension://abcdef".parse().unwrap()];
    Surroundings::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())), port, &allowed)
}

fn host(value: &str) -> HostClass {
    read(&[("Host", value)], Some(PORT)).host
}

fn origin(value: &str) -> OriginClass {
    read(&[("Host", "127.0.0.1:18789"), ("Origin", value)], Some(PORT)).origin
}

#[test]
fn s29_look_alike_hosts_are_foreign() {
    for value in LOCAL_HOSTS {
        assert_eq!(host(value), HostClass::Loopback, "{value}");
    }

    for value in FOREIGN_HOSTS {
        assert_eq!(host(value), HostClass::Foreign, "{value:?}");
        let surroundings = read(&[("Host", value)], Some(PORT));
        assert_eq!(may_upgrade(&surroundings).unwrap_err().rule, "host-foreign");
    }
    let twice = read(&[("Host", "127.0.0.1"), ("host", "127.0.0.1")], Some(PORT));
    assert_eq!(twice.host, HostClass::Foreign);
    assert_eq!(read(&[], Some(PORT)).host, HostClass::Absent);
    let bytes = Surroundings::read([("Host", &b"127.0.0.1\xff"[..])], Some(PORT), &[]);
    assert_eq!(bytes.host, HostClass::Foreign);
}

#[test]
fn a_listener_without_a_port_takes_any_port_of_this_machine() {
    for value in ["localhost", "localhost:80", "127.0.0.1:1"] {
        assert_eq!(read(&[("Host", value)], None).host, HostClass::Loopback, "{value}");
    }
    assert_eq!(read(&[("Host", "evil.example")], None).host, HostClass::Foreign);
    // No page can come from a listener that browsers cannot reach.
    assert_eq!(read(&[("Origin", "http://localhost")], None).origin, OriginClass::Foreign);
}

#[test]
fn s30_a_page_of_another_port_or_a_rebound_name_is_foreign() {
    for value in OWN_PAGES {
        assert_eq!(origin(value), OriginClass::Own, "{value}");
    }

    for value in FOREIGN_PAGES {
        assert_eq!(origin(value), OriginClass::Foreign, "{value:?}");
        let headers = [("Host", "127.0.0.1:18789"), ("Origin", value)];
        let refusal = may_upgrade(&read(&headers, Some(PORT))).unwrap_err();
        assert_eq!((refusal.rule, refusal.status), ("origin-foreign", 403), "{value:?}");
        assert!(refusal.remedy.contains("setting origins"));
    }
    let rebound = [("Host", "evil.example:18789"), ("Origin", "http://evil.example:18789")];
    let refusal = may_upgrade(&read(&rebound, Some(PORT))).unwrap_err();
    assert_eq!((refusal.rule, refusal.status), ("host-foreign", 403));
    let twice = [("Origin", "http://localhost:18789"), ("origin", "http://localhost:18789")];
    assert_eq!(read(&twice, Some(PORT)).origin, OriginClass::Foreign);
}

#[test]
fn s01_a_foreign_page_never_sees_a_challenge() {
    // The verdict is made of the head alone: no auth mode, secret or setting but the list of origins is in it.
    let foreign = read(&[("Host", "localhost:18789"), ("Origin", "https://evil.example")], Some(PORT));
    assert_eq!(may_upgrade(&foreign).unwrap_err().status, 403);
    assert!(may_upgrade(&read(&[("Host", "localhost:18789")], Some(PORT))).is_ok());
    assert!(may_upgrade(&read(&[], Some(PORT))).is_ok());
}

#[test]
fn a_page_at_the_address_that_it_talks_to_is_our_own() {
    let of = |host, origin| read(&[("Host", host), ("Origin", origin)], Some(PORT)).origin;
    assert_eq!(of("127.0.0.2:18789", "http://127.0.0.2:18789"), OriginClass::Own);
    assert_eq!(of("127.0.0.3:18789", "http://127.0.0.2:18789"), OriginClass::Foreign);
    assert_eq!(of("localhost:18789", "http://127.0.0.1:18789"), OriginClass::Own);
}

#[test]
fn named_origins_are_allowed_in_any_spelling() {
    for value in ["https://ui.example", "HTTPS://ui.EXAMPLE:443", "https://ui.example:443"] {
        let want = OriginClass::Allowed("https://ui.example".parse().unwrap());
        assert_eq!(origin(value), want, "{value}");
    }
    assert!(matches!(origin("chrome-extension://abcdef"), OriginClass::Allowed(_)));
}

#[test]
fn an_origin_has_one_spelling() {
    for (text, want) in [
        ("HTTP://A.example:80", "http://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ] {
        assert_eq!(text.parse::<Origin>().unwrap().to_string(), want);
    }
    let error = "a.example".parse::<Origin>().unwrap_err().to_string();
    assert_eq!(error, "not an origin, write scheme://host or scheme://host:port");
}

#[test]
fn s15_any_forwarding_header_ends_local() {
    let samples = [
        "X-Forwarded-For",
        "x-forwarded-for",
        "X_Forwarded_For",
        " X-Forwarded-For ",
        "X-Forwarded-Host",
        "X-Forwarded",
        "X-Forwarded-User",
        "Forwarded",
        "X-Real-IP",
        "X-REAL-IP",
        "Via",
        "CF-Connecting-IP",
        "True-Client-IP",
        "X-Client-IP",
        "Tailscale-User-Login",
        "Proxy-Connection",
        "X-Original-Forwarded-For",
        "Remote-User",
    ];
    let values = ["", " ", "127.0.0.1", "127.0.0.1:4711", "::1", "203.0.113.9, 127.0.0.1", "for=127.0.0.1"];
    for name in samples {
        for value in values {
            for count in 1..=2 {
                let mut headers = vec![("Host", "127.0.0.1:18789")];
                headers.extend(std::iter::repeat_n((name, value), count));
                let surroundings = read(&headers, Some(PORT));
                assert!(surroundings.forwarded.is_some() && !surroundings.direct(), "{name}: {value}");
                // It may still come in, as a remote peer.
                assert!(may_upgrade(&surroundings).is_ok());
                let scene = Scene { surroundings, ..Scene::local(&json!({})) };
                assert_eq!(scene.rule(), "remote-without-device", "{name}: {value}");
            }
        }
    }
}

#[test]
fn s14_identity_headers_are_nobody() {
    // Even the configured secret does not make a request with such headers local, and no header is read for a name.
    for name in ["X-Forwarded-User", "Tailscale-User-Login", "X-Auth-Request-Email", "Remote-User"] {
        let surroundings = read(&[("Host", "localhost"), (name, "root")], Some(PORT));
        assert_eq!(surroundings.forwarded.as_deref(), Some(&*name.to_ascii_lowercase()));
        for peer in [PeerClass::Owner, PeerClass::Allowed(1001), PeerClass::Unknown] {
            let scene = Scene { surroundings: surroundings.clone(), peer, ..Scene::local(&json!({})) };
            assert_eq!(scene.rule(), "remote-without-device");
        }
    }
}

#[test]
fn headers_of_real_clients_show_no_proxy() {
    let headers = [
        ("Host", "127.0.0.1:18789"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("User-Agent", "Mozilla/5.0"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "gEyNTraDH9KPsFh4Bw3liA=="),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Accept-Language", "en-US"),
        ("Cookie", "a=b"),
        ("Origin", "http://127.0.0.1:18789"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ("Sec-Fetch-Site", "same-origin"),
    ];
    assert_eq!(read(&headers, Some(PORT)).forwarded, None);
}

#[test]
fn the_table_of_proxies_is_sorted_and_folded() {
    assert!(FORWARDING.windows(2).all(|pair| pair[0].name < pair[1].name));
    for row in FORWARDING {
        assert!(
            row.name.chars().all(|c| c.is_ascii_lowercase() || "-*".contains(c)) && !row.sender.is_empty()
        );
        let name = row.name.replace('*', "x");
        assert!(read(&[(&name, "")], Some(PORT)).forwarded.is_some(), "{name}");
    }
}

const LOCAL_HOSTS: &[&str] = &[
    "127.0.0.1:18789",
    "127.0.0.1",
    "127.255.255.254",
    "localhost",
    "LocalHost:18789",
    "[::1]",
    "[::1]:18789",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]:18789",
    "[::ffff:7f00:1]",
    " 127.0.0.1:18789\t",
];

const FOREIGN_HOSTS: &[&str] = &[
    "",
    " ",
    ":18789",
    "localhost:",
    "localhost:18790",
    "localhost:0",
    "localhost:+18789",
    "localhost:18789 ,",
    "localhost:184325",
    "localhost:84325",
    "localhost.",
    "localhost.:18789",
    "localhost.evil.example",
    "localhost.localdomain",
    "localhost6",
    "ip6-localhost",
    "127.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io",
    "evil.example",
    "evil.example:18789",
    "vm.ts.net",
    "x.ts.net:18789",
    "0.0.0.0",
    "0",
    "0.0.0.0:18789",
    "[::]",
    "[::]:18789",
    "127.1",
    "127.0.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1.",
    "127.0.0.256",
    "128.0.0.1",
    "10.0.0.1",
    "::1",
    "::1:18789",
    "[::1",
    "::1]",
    "[::1].evil",
    "[::1].evil:18789",
    "[::1]evil",
    "[[::1]]",
    "[::1%lo]",
    "[::1%25lo]",
    "[127.0.0.1]",
    "[localhost]",
    "[::127.0.0.1]",
    "[::2]",
    "[fe80::1]",
    "[::ffff:10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "user@localhost",
    "user:pw@127.0.0.1:18789",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "127.0.0.1/..",
    "http://127.0.0.1",
    "127.0.0.1:18789:18789",
    "127.0.0.1, 127.0.0.1",
    "local host",
    "１２７.0.0.1",
    "127。0。0。1",
    "loca\u{17f}host",
    "localhost\0",
    "localhost\n",
    "*",
    "%6cocalhost",
];

const OWN_PAGES: &[&str] = &[
    "http://127.0.0.1:18789",
    "https://127.0.0.1:18789",
    "http://localhost:18789",
    "HTTP://LOCALHOST:18789",
    "http://[::1]:18789",
    " http://localhost:18789 ",
];

const FOREIGN_PAGES: &[&str] = &[
    "null",
    "",
    "*",
    "http://localhost:8080",
    "http://localhost",
    "https://localhost",
    "http://127.0.0.1:18790",
    "http://127.0.0.2:18789",
    "http://[::ffff:127.0.0.2]:18789",
    "http://localhost.:18789",
    "http://localhost.evil.example:18789",
    "http://127.1:18789",
    "http://0.0.0.0:18789",
    "http://[::1].evil:18789",
    "http://evil.example:18789",
    "http://user@localhost:18789",
    "http://localhost:18789/",
    "http://localhost:18789#",
    "http://localhost:18789?x",
    "http://localhost:18789 http://evil.example",
    "ftp://localhost:18789",
    "file://localhost:18789",
    "ws://localhost:18789",
    "//localhost:18789",
    "localhost:18789",
    "http:localhost:18789",
    "http://",
    "https://ui.example:444",
    "http://ui.example",
    "https://ui.example.evil",
    "https://UI.example/",
    "https://x.ui.example",
    "chrome-extension://abcdefg",
    "http://[::1:18789",
    "http://a:b:18789",
];
