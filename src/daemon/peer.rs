//! Who is at the other end of a connection, as the kernel tells it.
//!
//! Rule: ask for exactly the peer's own socket, and believe no answer that is about anything else. A socket that its
//! owner has closed already is nobody's: the kernel reports user 0 for it, so it counts as unknown, never as root.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, getsockopt, recv, send,
    socket, sockopt,
};

use crate::limits;

/// Asks the kernel whose sockets the peers' are.
#[derive(Debug)]
pub(super) struct Inspector {
    /// None where the kernel does not answer.
    diag: Option<OwnedFd>,
    /// The number of the last question.
    sequence: u32,
}

/// The two ends of a TCP connection, as the peer sees them; IPv4 in its own form, never mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    /// The peer's own address.
    own: SocketAddr,
    /// Ours, as the peer sees it.
    other: SocketAddr,
}

/// What came of a question.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// The user who made the socket; none if the socket is not there or is nobody's any more.
    Known(Option<u32>),
    /// The kernel does not answer questions of this kind here.
    Unavailable,
}

impl Inspector {
    /// Opens the kernel's socket table and asks it for `listener`, which is there for certain. Where it does not know
    /// it (`RestrictAddressFamilies=` without `AF_NETLINK`, a kernel without `tcp_diag`) the text form in `/proc/net`
    /// serves, at a higher price.
    pub(super) fn open(listener: SocketAddr) -> Self {
        let mut inspector = Self { diag: open_diag().ok(), sequence: 0 };
        let own = canonical(listener);
        let nobody = if own.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let ends = Ends { own, other: SocketAddr::new(nobody, 0) };
        if !matches!(inspector.ask(ends), Answer::Known(Some(_))) {
            inspector.diag = None;
        }
        inspector
    }

    /// The user whose process made the socket at the other end of a TCP connection. `peer` is what `accept` told,
    /// `local` the address of the listener.
    pub(super) fn tcp_uid(&mut self, peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        let ends = Ends { own: canonical(peer), other: canonical(local) };
        if self.diag.is_some() {
            match self.ask(ends) {
                Answer::Known(uid) => return uid,
                Answer::Unavailable => self.diag = None,
            }
        }
        uid_by_proc(ends)
    }

    /// One question, one answer. The kernel answers while `send` runs, so that nothing is ever waited for.
    fn ask(&mut self, ends: Ends) -> Answer {
        let Some(diag) = &self.diag else { return Answer::Unavailable };
        self.sequence = self.sequence.wrapping_add(1);
        let question = question(ends, self.sequence);
        if send(diag.as_raw_fd(), &question, MsgFlags::MSG_DONTWAIT).is_err() {
            return Answer::Unavailable;
        }
        let mut buffer = [0; ANSWER_BYTES_MAX];
        // What an earlier question left behind is skipped; there is one answer to each, so this ends soon.
        for _ in 0..=ANSWERS_STALE_MAX {
            let length = match recv(diag.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EINTR) => continue,
                Err(_) => return Answer::Known(None),
            };
            let message = buffer.get(..length).unwrap_or_default();
            if number(message, SEQUENCE_AT) == Some(self.sequence) {
                return answer(message, ends);
            }
        }
        Answer::Known(None)
    }
}

/// The user and the process that connected a UNIX socket.
pub(super) fn unix_ids(stream: &impl AsFd) -> (Option<u32>, Option<u32>) {
    let Ok(ids) = getsockopt(stream, sockopt::PeerCredentials) else { return (None, None) };
    // A process of a PID namespace that we cannot see has the number 0.
    (Some(ids.uid()), u32::try_from(ids.pid()).ok().filter(|pid| *pid != 0))
}

/// An IPv4 address in its own form, also where an IPv6 socket shows it as `::ffff:127.0.0.1`.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A netlink socket for questions about sockets.
fn open_diag() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let diag = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    // Connected to the kernel: no other process can put an answer in.
    connect(diag.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(diag)
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2` of linux/inet_diag.h.
fn question(ends: Ends, sequence: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(QUESTION_BYTES as usize);
    bytes.extend(QUESTION_BYTES.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    let family = if ends.own.is_ipv4() { AF_INET } else { AF_INET6 };
    // Family, protocol, no extensions, padding; then all states.
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(ends.own.port().to_be_bytes());
    bytes.extend(ends.other.port().to_be_bytes());
    bytes.extend(octets(ends.own.ip()));
    bytes.extend(octets(ends.other.ip()));
    // Any interface, and no cookie: the addresses say which socket is meant.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(INET_DIAG_NOCOOKIE);
    bytes
}

/// Reads an answer: `struct inet_diag_msg`, or an error.
fn answer(message: &[u8], ends: Ends) -> Answer {
    match half(message, TYPE_AT) {
        Some(SOCK_DIAG_BY_FAMILY) => Answer::Known(owner(message, ends)),
        // No such socket. A missing module says the same, but then `Inspector::open` has noticed.
        Some(NLMSG_ERROR) => match bytes_at(message, ERROR_AT).map(i32::from_ne_bytes) {
            Some(ENOENT_NEGATIVE) => Answer::Known(None),
            _ => Answer::Unavailable,
        },
        _ => Answer::Known(None),
    }
}

/// The owner in an answer, if it is about the socket that was asked for. The kernel falls back to a listener on the
/// same port, and reports user 0 with inode 0 for a socket that its process has closed.
fn owner(message: &[u8], ends: Ends) -> Option<u32> {
    let family = *message.get(FAMILY_AT)?;
    let own = address(message, family, OWN_IP_AT, OWN_PORT_AT)?;
    let other = address(message, family, OTHER_IP_AT, OTHER_PORT_AT)?;
    let about_this = Ends { own, other } == ends;
    let alive = number(message, INODE_AT)? != 0;
    if about_this && alive { number(message, UID_AT) } else { None }
}

/// One end in an answer.
fn address(message: &[u8], family: u8, ip_at: usize, port_at: usize) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(bytes_at(message, port_at)?);
    let ip = match family {
        AF_INET => IpAddr::from(bytes_at::<4>(message, ip_at)?),
        AF_INET6 => IpAddr::from(bytes_at::<16>(message, ip_at)?),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An address in the sixteen bytes that the kernel keeps for it.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The same question put to the text form of the socket table.
fn uid_by_proc(ends: Ends) -> Option<u32> {
    let tables: &[&str] =
        if ends.own.is_ipv4() { &["/proc/net/tcp", "/proc/net/tcp6"] } else { &["/proc/net/tcp6"] };
    tables.iter().find_map(|table| {
        let file = std::fs::File::open(table).ok()?;
        let bounded = std::io::Read::take(file, limits::PROC_NET_BYTES_MAX);
        let lines = BufReader::with_capacity(64 * 1024, bounded).lines().map_while(Result::ok);
        uid_in_table(lines, ends)
    })
}

/// The owner of the row that is about this socket. The first line holds the headings.
fn uid_in_table(lines: impl Iterator<Item = String>, ends: Ends) -> Option<u32> {
    lines.skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let row = Ends { own: table_address(words.next()?)?, other: table_address(words.next()?)? };
        if row != ends {
            return None;
        }
        // st, tx:rx, tr:when, retrnsmt, then uid, timeout, inode.
        let uid = words.nth(4)?.parse().ok()?;
        let inode: u64 = words.nth(1)?.parse().ok()?;
        (inode != 0).then_some(uid)
    })
}

/// `0100007F:1F90`: the address in groups of four bytes in the machine's order, the port as a number.
fn table_address(word: &str) -> Option<SocketAddr> {
    let (ip, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let groups = bytes.chunks_exact_mut(4).enumerate().take(ip.len() / 8);
    for (index, group) in groups {
        let digits = ip.get(index * 8..index * 8 + 8)?;
        group.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let ip = match ip.len() {
        8 => IpAddr::from(bytes_at::<4>(&bytes, 0)?),
        32 => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Four bytes in the machine's order, as netlink has them.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

/// Two bytes in the machine's order.
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h; offsets count from the start of the netlink message.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const ENOENT_NEGATIVE: i32 = -2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_NOCOOKIE: [u8; 8] = [0xff; 8];
const QUESTION_BYTES: u32 = 72;
const TYPE_AT: usize = 4;
const SEQUENCE_AT: usize = 8;
const ERROR_AT: usize = 16;
const FAMILY_AT: usize = 16;
const OWN_PORT_AT: usize = 20;
const OTHER_PORT_AT: usize = 22;
const OWN_IP_AT: usize = 24;
const OTHER_IP_AT: usize = 40;
const UID_AT: usize = 80;
const INODE_AT: usize = 84;
/// An answer is 88 bytes and a few attributes.
const ANSWER_BYTES_MAX: usize = 1024;
/// Answers that an interrupted question can have left behind.
const ANSWERS_STALE_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Command, Stdio};

    use super::*;

    fn me() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    fn ends_of(address: &str) -> (TcpStream, TcpStream, Ends) {
        let listener = TcpListener::bind(address).unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let (server, peer) = listener.accept().unwrap();
        (client, server, Ends { own: canonical(peer), other: canonical(local) })
    }

    /// Both ways of asking.
    fn uids(ends: Ends) -> [Option<u32>; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut inspector = Inspector::open(listener.local_addr().unwrap());
        assert!(inspector.diag.is_some(), "this machine has no inet_diag");
        [inspector.tcp_uid(ends.own, ends.other), uid_by_proc(ends)]
    }

    #[test]
    fn own_sockets_are_ours_in_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0", "127.0.0.2:0"] {
            let (_client, _server, ends) = ends_of(address);
            assert_eq!(uids(ends), [Some(me()); 2], "{address}");
        }
    }

    #[test]
    fn mapped_addresses_are_the_same_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(format!("[::ffff:127.0.0.1]:{port}")).unwrap();
        let (_server, peer) = listener.accept().unwrap();
        let mapped = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            IpAddr::V6(_) => address,
        };
        let local = listener.local_addr().unwrap();
        let mut inspector = Inspector::open(local);
        assert_eq!(inspector.tcp_uid(peer, local), Some(me()));
        assert_eq!(inspector.tcp_uid(mapped(peer), mapped(local)), Some(me()));
        inspector.diag = None;
        assert_eq!(inspector.tcp_uid(mapped(peer), mapped(local)), Some(me()));
    }

    #[test]
    fn a_socket_that_was_closed_is_nobodys() {
        let (client, _server, ends) = ends_of("127.0.0.1:0");
        drop(client);
        assert_eq!(uids(ends), [None, None], "an orphan must never pass for root's");
    }

    #[test]
    fn a_listener_on_the_peers_port_is_not_the_peer() {
        // Nothing is connected from this port, but somebody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let ends = Ends { own: listener.local_addr().unwrap(), other: other.local_addr().unwrap() };
        assert_eq!(uids(ends), [None, None]);
    }

    #[test]
    fn another_user_is_told_apart() {
        if me() != 0 {
            return; // only root can become somebody else
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{}; read line", local.port());
        let mut child = Command::new("setpriv")
            .args(["--reuid=65534", "--clear-groups", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let (_server, peer) = listener.accept().unwrap();
        let seen = uids(Ends { own: canonical(peer), other: local });
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(seen, [Some(65534), Some(65534)]);
    }

    #[test]
    fn unix_peers_have_user_and_process() {
        let folder = std::env::temp_dir().join(format!("loopgate-peer-{}", std::process::id()));
        let listener = UnixListener::bind(&folder).unwrap();
        let _client = UnixStream::connect(&folder).unwrap();
        let (server, _) = listener.accept().unwrap();
        std::fs::remove_file(&folder).unwrap();
        assert_eq!(unix_ids(&server), (Some(me()), Some(std::process::id())));
    }

    #[test]
    fn odd_answers_tell_nothing() {
        let (_client, _server, ends) = ends_of("127.0.0.1:0");
        assert_eq!(answer(&[], ends), Answer::Known(None));
        let mut refusal = vec![0; 36];
        refusal[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        refusal[16..20].copy_from_slice(&(-13_i32).to_ne_bytes());
        assert_eq!(answer(&refusal, ends), Answer::Unavailable);
        refusal[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(answer(&refusal, ends), Answer::Known(None));
        for text in ["", "x", "0100007F", "0100007F:zz", "01:01", "0100007é:1F90"] {
            assert_eq!(table_address(text), None, "{text}");
        }
    }
}
