//! Another user of the machine. The kernel gives a socket to the user of the thread that makes it, so that a thread of
//! root's can make one that is somebody else's; that whole processes are told apart as well is shown in
//! `tests/daemon/peers.rs`.

use std::net::TcpStream;

use nix::unistd::{Uid, geteuid, setfsuid};

use crate::live::{Peer, dial, head};

/// `nobody`: neither the owner nor root.
pub(crate) const NOBODY: u32 = 65534;

/// Whether this test may become somebody else; says so if it may not.
pub(crate) fn can_be() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("left out: only root can connect as another user");
    }
    root
}

/// A TCP connection of [`NOBODY`]'s.
pub(crate) fn dial_as_nobody(port: u16) -> TcpStream {
    let make = move || {
        setfsuid(Uid::from_raw(NOBODY));
        dial(port)
    };
    // A thread of its own, which takes the other user with it when it ends.
    std::thread::spawn(make).join().expect("a connection")
}

/// The same, upgraded and challenged.
pub(crate) fn open(port: u16) -> Peer {
    Peer::upgrade(dial_as_nobody(port), &head(port, "/", "")).expect("an upgrade")
}
