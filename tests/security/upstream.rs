//! Who is at the runtime's port is asked of the kernel before anything is said to it.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::unistd::{Uid, setfsuid};
use serde_json::json;

use crate::common::TOKEN;
use crate::live::{Gate, PATIENCE};
use crate::stranger::{NOBODY, can_be};

/// A listener of `uid`'s that accepts after `pause`; its port, and all that each connection brings, up to its end or to a
/// head that is whole.
fn listen_as(uid: u32, pause: Duration) -> (u16, Receiver<Vec<u8>>) {
    let ((port_in, port), (told, heard)) = (channel(), channel());
    // A thread of its own, which takes the user with it when it ends.
    std::thread::spawn(move || {
        setfsuid(Uid::from_raw(uid));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        port_in.send(listener.local_addr().expect("an address").port()).expect("somebody waits");
        std::thread::sleep(pause);
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
            while !all.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => all.extend_from_slice(&buffer[..count]),
                }
            }
            if told.send(all).is_err() {
                return;
            }
        }
    });
    (port.recv().expect("a port"), heard)
}

fn gate(port: u16) -> Gate {
    Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), &format!("{{runtime: {{port: {port}}}}}"))
}

#[test]
fn s28_another_users_process_at_the_runtimes_port_hears_nothing() {
    if !can_be() {
        return;
    }
    // Before anybody has accepted, the kernel knows of no owner, and must not be understood to name one.
    for pause in [Duration::ZERO, Duration::from_secs(2)] {
        let (port, heard) = listen_as(NOBODY, pause);
        let gate = gate(port);
        let first = heard.recv_timeout(PATIENCE).expect("a connection");
        assert_eq!(String::from_utf8_lossy(&first), "", "connected, looked at, and closed");
        let entry = gate.daemon.says(&["another user has the port of the OpenClaw runtime"]);
        assert!(entry.contains(&format!("PEER_UID={NOBODY}")) && entry.contains("REMEDY="), "{entry}");
        let error = gate.operator(&["operator.admin"]).error("wizard.start", &json!({}));
        assert!(error["message"].as_str().expect("words").contains("user 65534"), "{error}");
        // Nor is it trusted the next time.
        let second = heard.recv_timeout(PATIENCE).expect("another try");
        assert_eq!(String::from_utf8_lossy(&second), "");
    }
    // The owner's own process at the same place hears the upgrade.
    let (port, heard) = listen_as(0, Duration::ZERO);
    let _gate = gate(port);
    let first = heard.recv_timeout(PATIENCE).expect("a connection");
    assert!(first.starts_with(b"GET / HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&first));
}
