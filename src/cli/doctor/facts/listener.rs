//! Who listens at a port: the kernel's tables, and the processes that hold the sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::process::Process;
use super::tool::read;

/// A listening TCP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whose it is.
    pub uid: u32,
    /// Which it is.
    pub inode: u64,
    /// The process that holds it; unknown where only root may look.
    pub process: Option<Process>,
}

/// The listeners at `port`, each with its process; an error if the kernel's tables cannot be read.
pub(crate) fn at(port: u16) -> Result<Vec<Listener>, String> {
    let mut found = table("/proc/net/tcp", port)?;
    // Without IPv6 there is no second table.
    found.extend(table("/proc/net/tcp6", port).unwrap_or_default());
    let inodes = found.iter().map(|listener| listener.inode).collect::<Vec<_>>();
    let mut holders = super::process::holders(&inodes);
    for listener in &mut found {
        listener.process = holders.remove(&listener.inode);
    }
    Ok(found)
}

/// Whether this machine has the address `::1`.
pub(crate) fn has_ipv6() -> bool {
    let table = read(Path::new("/proc/net/if_inet6"), TABLE_BYTES_MAX).unwrap_or_default();
    table.lines().any(|line| line.starts_with("00000000000000000000000000000001 "))
}

impl Listener {
    /// Whether connections to the loopback address of `ip`'s family arrive here.
    pub(crate) fn takes(&self, ip: IpAddr) -> bool {
        self.ip == ip
            || (self.ip.is_unspecified() && self.ip.is_ipv4() == ip.is_ipv4())
            // The wildcard of IPv6 takes both unless its owner says otherwise, and most do not.
            || (self.ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED))
    }
}

/// What listens at `port` by one table of the kernel's.
fn table(path: &str, port: u16) -> Result<Vec<Listener>, String> {
    let text = read(Path::new(path), TABLE_BYTES_MAX).map_err(|cause| format!("{path}: {cause}"))?;
    Ok(text.lines().filter_map(line).filter(|listener| listener.port == port).collect())
}

/// One line of the table, if it is about a listener.
fn line(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let (ip, port) = (address(ip)?, u16::from_str_radix(port, 16).ok()?);
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    Some(Listener { ip, port, uid, inode, process: None })
}

/// An address as the kernel writes it: words of four bytes in the machine's own order.
fn address(text: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for at in (0..text.len()).step_by(8) {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// Processes by the inode of a socket that they hold.
pub(super) type Holders = BTreeMap<u64, Process>;

/// The state of a listener.
const LISTEN: &str = "0A";
/// 20,000 connections.
const TABLE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn lines_are_listeners() {
        let text = "   0: 0100007F:4965 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 15555 1 0";
        let listener = line(text).unwrap();
        assert_eq!((listener.port, listener.uid, listener.inode), (18_789, 1000, 15_555));
        if cfg!(target_endian = "little") {
            assert_eq!(listener.ip, IpAddr::V4(Ipv4Addr::LOCALHOST));
            let v6 = text.replace("0100007F", "00000000000000000000000001000000");
            assert_eq!(line(&v6).unwrap().ip, IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        assert_eq!(line(&text.replace(" 0A ", " 01 ")), None, "a connection is no listener");
        for broken in ["", "sl local_address", "0: zz:1 0:0 0A 0 0 0 1 0 1", "0: 01:1 0:0 0A 0 0 0 1 0 1"] {
            assert_eq!(line(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_listener_of_ours_is_found() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = at(port).unwrap();
        let [listener] = found.as_slice() else { panic!("{found:?}") };
        assert!(listener.takes(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(listener.process.as_ref().map(|process| process.pid), Some(std::process::id()));
        assert_eq!(at(1).unwrap(), []);
    }
}
