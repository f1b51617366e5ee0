//! Whose sockets the peers' are, as the journal tells it.

use std::os::unix::net::UnixStream;
use std::process::Command;

use super::rig::{Home, Plan, get, talk, tcp, unix};

#[test]
fn the_journal_knows_the_user_of_a_tcp_peer() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).start();
    get(port, "/healthz");
    let own = format!("PEER_UID={} ", nix::unistd::geteuid());
    daemon.says(&["a connection was accepted", "DOOR=tcp", &own, "PEER_ADDRESS=127.0.0.1:"]);
}

#[test]
fn the_journal_knows_the_user_and_process_at_the_owners_door() {
    let home = Home::new();
    let path = home.path.join("owner.sock");
    let daemon = Plan::new(&home, vec![unix(&path)]).names("owner").start();
    assert!(talk(UnixStream::connect(&path).unwrap(), 18789, "/healthz").contains("200 OK"));
    let own = format!("PEER_UID={} ", nix::unistd::geteuid());
    let pid = format!("PEER_PID={} ", std::process::id());
    daemon.says(&["a connection was accepted", "DOOR=owner", &own, &pid]);
}

#[test]
fn another_user_is_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can become somebody else
    }
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).start();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /healthz HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n' >&3; \
         cat <&3"
    );
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "bash", "-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    daemon.says(&["a connection was accepted", "PEER_UID=65534 "]);
}
