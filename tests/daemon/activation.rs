//! What is taken as a listener and what is not (security.md S36).

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::rig::{Home, Plan, get, talk, tcp, unix};

const NO_LISTENER: Option<i32> = Some(66);

#[test]
fn a_start_without_a_listener_says_how_to_get_one() {
    let (code, out, err) = Home::new().run(&[]);
    assert_eq!((code, out.as_str()), (NO_LISTENER, ""));
    for word in
        ["systemctl start loopgate.socket", "systemd-socket-activate", "--fdname=tcp", "127.0.0.1:18789"]
    {
        assert!(err.contains(word), "{err}");
    }
}

#[test]
fn all_three_kinds_are_served_at_once() {
    let home = Home::new();
    let (four, port) = tcp("127.0.0.1:0");
    let six = TcpListener::bind(("::1", port)).unwrap();
    let path = home.path.join("owner.sock");
    let mut daemon = Plan::new(&home, vec![four, six.into(), unix(&path)]).names("tcp:tcp:owner").start();
    assert!(get(port, "/healthz").contains("\"ok\":true"));
    assert!(talk(TcpStream::connect(("::1", port)).unwrap(), port, "/healthz").contains("\"ok\":true"));
    assert!(talk(UnixStream::connect(&path).unwrap(), port, "/healthz").contains("\"ok\":true"));
    assert!(daemon.is_running());
}

#[test]
fn names_tell_the_unit_and_the_family_the_door() {
    for names in ["gateway", "loopgate.socket", "tcp"] {
        let home = Home::new();
        let (listener, port) = tcp("127.0.0.1:0");
        let daemon = Plan::new(&home, vec![listener]).names(names).start();
        assert!(get(port, "/healthz").contains("200 OK"), "{names}: {}", daemon.log());
    }
    // systemd-socket-activate sets no names unless it is told to.
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan { names: None, ..Plan::new(&home, vec![listener]) }.start();
    assert!(get(port, "/healthz").contains("200 OK"), "{}", daemon.log());
}

/// Each of these file descriptors, alone and under the name of the units, ends the start with 66 and these words.
#[test]
fn what_is_no_loopback_listener_is_refused() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let (pipe, _end) = nix::unistd::pipe().unwrap();
    let plain = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let (datagrams, _other) = UnixDatagram::pair().unwrap();
    let (stream, _other_stream) = UnixStream::pair().unwrap();
    let connected = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let cases: Vec<(OwnedFd, &str)> = vec![
        (File::open("/dev/null").unwrap().into(), "/dev/null"),
        (pipe, "pipe:"),
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "a datagram socket"),
        (datagrams.into(), "a datagram socket"),
        (stream.into(), "a connection"),
        (connected.into(), "a connection"),
        (plain, "does not listen"),
        (TcpListener::bind("0.0.0.0:0").unwrap().into(), "not a loopback address"),
    ];
    for (fd, words) in cases {
        let (code, text) = Plan::new(&home, vec![fd]).refused();
        assert_eq!(code, NO_LISTENER, "{words}: {text}");
        assert!(text.contains(words) && text.contains("file descriptor 3 (gateway)"), "{words}: {text}");
    }
    drop(listener);
}

#[test]
fn a_promised_listener_that_is_not_there_is_refused() {
    let home = Home::new();
    let (code, text) = Plan { count: Some("1"), names: None, ..Plan::new(&home, vec![]) }.refused();
    assert_eq!(code, NO_LISTENER, "{text}");
    assert!(text.contains("nothing that is open"), "{text}");
}

#[test]
fn forged_variables_are_refused() {
    let home = Home::new();
    let refused = |change: &dyn for<'a> Fn(Plan<'a>) -> Plan<'a>, words: &str| {
        let (code, text) = change(Plan::new(&home, vec![tcp("127.0.0.1:0").0])).refused();
        assert_eq!(code, NO_LISTENER, "{words}: {text}");
        assert!(text.contains(words), "{words}: {text}");
    };
    refused(&|plan| Plan { pid: "1", ..plan }, "LISTEN_PID=1 is another process");
    refused(&|plan| Plan { pid: "''", ..plan }, "LISTEN_PID= is another process");
    refused(&|plan| Plan { count: Some("999999999"), ..plan }, "at most");
    refused(&|plan| Plan { count: Some("one"), ..plan }, "not a number");
    refused(&|plan| plan.names("tcp:tcp"), "LISTEN_FDNAMES has 2 names");
    refused(&|plan| plan.names("surprise"), "(surprise)");
    refused(&|plan| plan.names("owner"), "has to be named tcp");
    refused(&|plan| plan.var("LISTEN_FDS_FIRST_FD", "3"), "LISTEN_FDS_FIRST_FD");
}

#[test]
fn listeners_of_two_ports_are_refused() {
    let home = Home::new();
    let fds = vec![tcp("127.0.0.1:0").0, tcp("127.0.0.1:0").0];
    let (code, text) = Plan::new(&home, fds).refused();
    assert_eq!(code, NO_LISTENER);
    assert!(text.contains("different ports"), "{text}");
}

#[test]
fn files_that_cannot_be_used_have_their_own_status() {
    let home = Home::new();
    let listener = || vec![tcp("127.0.0.1:0").0];
    home.configure("{gateway:");
    let (code, text) = Plan::new(&home, listener()).refused();
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("openclaw.json:1:"), "{text}");
    home.configure("{}");
    home.set("{surprise: 1}");
    let (code, text) = Plan::new(&home, listener()).refused();
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("loopgate.conf:1:") && text.contains("surprise"), "{text}");
    home.set("{}");
    let state = home.path.join("state");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("pairing.json"), "not a store").unwrap();
    let (code, text) =
        Plan::new(&home, listener()).var("STATE_DIRECTORY", state.display().to_string()).refused();
    assert_eq!(code, Some(74), "{text}");
    assert!(text.contains("state/pairing.json"), "{text}");
    assert_eq!(fs::read_to_string(state.join("pairing.json")).unwrap(), "not a store");
}
