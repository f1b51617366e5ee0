//! What must not stall the loop or spin it: many peers, no files left, a reader of the log who does not read.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};

use super::rig::{Home, Plan, get, tcp, upgraded, within};

#[test]
fn silent_peers_are_in_nobodys_way() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let _daemon = Plan::new(&home, vec![listener]).start();
    let _silent: Vec<_> = (0..300).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let start = Instant::now();
    assert!(get(port, "/healthz").contains("200 OK"));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_peer_that_ends_its_side_first_still_gets_its_answer() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let _daemon = Plan::new(&home, vec![listener]).start();
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // One byte at a time, and the end along with the last one.
    peer.set_nodelay(true).unwrap();
    for byte in format!("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").bytes() {
        peer.write_all(&[byte]).unwrap();
    }
    peer.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn connections_that_break_leave_nothing_behind() {
    if !nix::unistd::geteuid().is_root() {
        return; // the daemon shows its files to nobody else
    }
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).start();
    daemon.says(&["ready for handshakes"]);
    let files = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
    let before = files();
    for round in 0..200 {
        let peer =
            if round % 2 == 0 { upgraded(port) } else { TcpStream::connect(("127.0.0.1", port)).unwrap() };
        // Closed with a reset instead of an end.
        setsockopt(&peer, sockopt::Linger, &RESET).unwrap();
    }
    let settled = within(Duration::from_secs(5), || (files() == before).then_some(()));
    assert!(settled.is_some(), "{before} files before, {} after", files());
}

#[test]
fn without_files_left_it_waits_and_tells() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan { before: "ulimit -n 40;", ..Plan::new(&home, vec![listener]) }.start();
    let mut peers: Vec<_> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    daemon.says(&["warning no more connections are accepted", "too many open files", "LimitNOFILE="]);
    let before = daemon.cpu();
    std::thread::sleep(Duration::from_secs(1));
    let used = daemon.cpu() - before;
    assert!(
        used < Duration::from_millis(250),
        "{used:?} of processor time while there was nothing to be done"
    );
    // The one that waits at the end of the backlog comes in as soon as there is room for it.
    peers.drain(..55);
    let last = peers.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(last, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
}

#[test]
fn a_log_that_nobody_reads_stalls_nothing() {
    let home = Home::new();
    let fifo = home.path.join("log");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opened for both, so that the daemon's open does not wait, and never read from.
    let _unread = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let (listener, port) = tcp("127.0.0.1:0");
    let _daemon = Plan::new(&home, vec![listener]).start();
    let start = Instant::now();
    for _ in 0..1_000 {
        assert!(get(port, "/healthz").contains("200 OK"));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn nothing_turns_while_nothing_happens() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).start();
    let _open: Vec<_> = (0..20).map(|_| upgraded(port)).collect();
    within(Duration::from_millis(300), || None::<()>);
    let before = daemon.cpu();
    std::thread::sleep(Duration::from_secs(2));
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_millis(60), "{used:?} in two idle seconds");
}

const RESET: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };
