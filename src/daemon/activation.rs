//! The listening sockets, as systemd hands them over, and what a former process has stored there.
//!
//! Rule: loopgated never binds. It takes what the service manager gives it, checks each socket for what it must be,
//! and refuses the whole start if one of them is anything else. What was stored has names of its own; whether it can be
//! used is decided elsewhere, and never stands in the way of a start.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use listenfd::ListenFd;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockopt, sockopt};
use nix::unistd::close;

use super::files::cause;
use super::handover::{LOT_NAME, STATE_NAME, STORED_PREFIX, Stored};
use crate::gateway::Door;
use crate::limits;

/// The doors that were handed over, at least one; all non-blocking and close-on-exec.
#[derive(Debug)]
pub(super) struct Listeners {
    /// Loopback TCP, with its address.
    pub(super) tcp: Vec<(TcpListener, SocketAddr)>,
    /// The owner's UNIX sockets.
    pub(super) owner: Vec<UnixListener>,
}

/// Why a start is refused. Exit status 66.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing was handed over.
    NoListener,
    /// The variables do not hold together; says which and why.
    Environment(String),
    /// A file descriptor is not what it must be.
    Socket {
        /// Its number.
        fd: usize,
        /// Its name in `LISTEN_FDNAMES`.
        name: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The TCP listeners have different ports.
    Ports(Vec<u16>),
}

/// What can be wrong with a file descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its name is none of [`NAMES`].
    UnknownName,
    /// Not a socket of a family that is served; says what it is.
    NotASocket(String),
    /// A datagram socket.
    Datagram,
    /// A socket with a peer instead of a listener.
    Connected,
    /// A stream socket that does not listen.
    NotListening,
    /// A listener that other machines can reach.
    NotLoopback(SocketAddr),
    /// Named for the other family.
    WrongDoor(Door),
    /// The kernel refuses to say or set something.
    Failed(String),
}

/// The variables of the protocol (sd_listen_fds(3)).
#[derive(Debug, Clone, Default)]
struct Variables {
    pid: Option<String>,
    fds: Option<String>,
    names: Option<String>,
    first: Option<String>,
}

/// A file descriptor that passed.
enum Taken {
    Tcp(TcpListener, SocketAddr),
    Owner(UnixListener),
    /// A memory file that was stored.
    Book(File),
    /// An end of a lot that was stored.
    End(UnixDatagram),
    /// Something else that was stored; it is closed.
    Stranger,
}

impl Listeners {
    /// Takes the listeners out of the environment. To be called once, before any thread is started.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(super) fn take() -> Result<(Self, Stored), Refused> {
        let names = Variables::read().names(std::process::id())?;
        let mut handed = ListenFd::from_env();
        let mut listeners = Self { tcp: Vec::new(), owner: Vec::new() };
        let mut stored = Stored::default();
        for (index, name) in names.into_iter().enumerate() {
            let taken = take(&mut handed, index, name.as_deref());
            match taken.map_err(|fault| refused(index, name.clone(), fault))? {
                Taken::Tcp(listener, address) => listeners.tcp.push((listener, address)),
                Taken::Owner(listener) => listeners.owner.push(listener),
                Taken::Book(file) => stored.books.push(file),
                Taken::End(end) => stored.ends.push(end),
                Taken::Stranger => stored.strangers.extend(name),
            }
        }
        match listeners.tcp.len() + listeners.owner.len() {
            0 => return Err(Refused::NoListener),
            count if count > limits::LISTENERS_MAX => {
                let most = limits::LISTENERS_MAX;
                return Err(Refused::Environment(format!(
                    "{count} listeners were handed over, at most {most} are taken"
                )));
            }
            _ => {}
        }
        Ok((listeners.one_port()?, stored))
    }

    /// The port of the TCP listeners: what a `Host` or `Origin` header has to name.
    pub(super) fn port(&self) -> Option<u16> {
        self.tcp.first().map(|(_, address)| address.port())
    }

    /// `Host` and `Origin` are checked against one port.
    fn one_port(self) -> Result<Self, Refused> {
        let ports: Vec<u16> = self.tcp.iter().map(|(_, address)| address.port()).collect();
        let same = ports.windows(2).all(|pair| pair.first() == pair.last());
        if same { Ok(self) } else { Err(Refused::Ports(ports)) }
    }
}

impl Variables {
    /// Reads them, before listenfd takes some of them out of the environment.
    fn read() -> Self {
        let variable = |name| std::env::var(name).ok();
        Self {
            pid: variable("LISTEN_PID"),
            fds: variable("LISTEN_FDS"),
            names: variable("LISTEN_FDNAMES"),
            first: variable("LISTEN_FDS_FIRST_FD"),
        }
    }

    /// The name of each file descriptor; none where `LISTEN_FDNAMES` is not set, as systemd-socket-activate leaves it.
    fn names(&self, own_pid: u32) -> Result<Vec<Option<String>>, Refused> {
        let Some(fds) = &self.fds else { return Err(Refused::NoListener) };
        let refuse = |text: String| Err(Refused::Environment(text));
        let Ok(count) = fds.parse::<usize>() else {
            return refuse(format!("LISTEN_FDS={fds} is not a number"));
        };
        match &self.pid {
            None => return refuse("LISTEN_FDS is set but LISTEN_PID is not".into()),
            Some(pid) if pid.parse() != Ok(own_pid) => {
                return refuse(format!("LISTEN_PID={pid} is another process, this one is {own_pid}"));
            }
            Some(_) => {}
        }
        if self.first.is_some() {
            return refuse("LISTEN_FDS_FIRST_FD is not part of the protocol, unset it".into());
        }
        if count == 0 {
            return Err(Refused::NoListener);
        }
        let most = limits::LISTENERS_MAX + limits::HANDOVER_STORED_MAX;
        if count > most {
            return refuse(format!("LISTEN_FDS={count}, at most {most} file descriptors are taken"));
        }
        let Some(names) = &self.names else { return Ok(vec![None; count]) };
        let names: Vec<_> = names.split(':').map(|name| Some(name.to_owned())).collect();
        if names.len() == count {
            return Ok(names);
        }
        refuse(format!("LISTEN_FDS={count}, but LISTEN_FDNAMES has {} names", names.len()))
    }
}

impl Refused {
    /// What to do about it.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::NoListener => {
                "run `systemctl start loopgate.socket` (with --user for a user's own), or by hand \
                 `systemd-socket-activate --fdname=tcp -l 127.0.0.1:18789 loopgated`"
            }
            Self::Environment(_) => {
                "let the service manager start loopgated itself, with no program between them"
            }
            Self::Socket { .. } => {
                "in loopgate.socket use ListenStream= with 127.0.0.1:PORT, [::1]:PORT or a path, Accept=no, and \
                 FileDescriptorName=gateway"
            }
            Self::Ports(_) => "give all of them the same in loopgate.socket",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoListener => {
                f.write_str("no listener was handed over, and loopgated never binds one itself")
            }
            Self::Environment(text) => f.write_str(text),
            Self::Socket { fd, name, fault } => write!(f, "file descriptor {fd} ({name}): {fault}"),
            Self::Ports(ports) => write!(f, "the TCP listeners have different ports: {ports:?}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownName => write!(f, "the name is none of {}", NAMES.join(", ")),
            Self::NotASocket(what) => write!(f, "not a TCP or UNIX stream socket but {what}"),
            Self::Datagram => f.write_str("a datagram socket"),
            Self::Connected => f.write_str("a connection instead of a listener"),
            Self::NotListening => f.write_str("a stream socket that does not listen"),
            Self::NotLoopback(address) => {
                write!(f, "{address} is not a loopback address, others could reach it")
            }
            Self::WrongDoor(door) => {
                write!(f, "a socket of this family has to be named {} or gateway", door.name())
            }
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for Refused {}

/// A fault with the number and the name that the unit's author knows it by.
fn refused(index: usize, name: Option<String>, fault: Fault) -> Refused {
    Refused::Socket { fd: FIRST_FD + index, name: name.unwrap_or_else(|| "unnamed".into()), fault }
}

/// One file descriptor. A listener that is refused is closed with it; the start is over anyway.
fn take(handed: &mut ListenFd, index: usize, name: Option<&str>) -> Result<Taken, Fault> {
    if let Some(name) = name.filter(|name| is_stored(name)) {
        return Ok(take_stored(handed, index, name));
    }
    if name.is_some_and(|name| !NAMES.contains(&name)) {
        return Err(Fault::UnknownName);
    }
    if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
        listens(&listener)?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        if !address.ip().to_canonical().is_loopback() {
            return Err(Fault::NotLoopback(address));
        }
        listener.set_nonblocking(true).map_err(|error| failed(&error))?;
        return fits(name, Door::Tcp).map(|()| Taken::Tcp(listener, address));
    }
    if let Ok(Some(listener)) = handed.take_unix_listener(index) {
        listens(&listener)?;
        listener.set_nonblocking(true).map_err(|error| failed(&error))?;
        return fits(name, Door::Owner).map(|()| Taken::Owner(listener));
    }
    let datagram = matches!(handed.take_udp_socket(index), Ok(Some(_)))
        || matches!(handed.take_unix_datagram(index), Ok(Some(_)));
    if datagram { Err(Fault::Datagram) } else { Err(Fault::NotASocket(what_is(index))) }
}

/// Whether a file descriptor comes out of the store: by the prefix of our own entries, or by the name that systemd gives
/// to entries without one.
fn is_stored(name: &str) -> bool {
    name.starts_with(STORED_PREFIX) || name == "stored"
}

/// Something out of the store. What is not what its name says is closed.
fn take_stored(handed: &mut ListenFd, index: usize, name: &str) -> Taken {
    if name == LOT_NAME {
        if let Ok(Some(end)) = handed.take_unix_datagram(index) {
            return Taken::End(end);
        }
    }
    let Ok(Some(fd)) = handed.take_raw_fd(index) else { return Taken::Stranger };
    // A number is nobody's own; what it stands for is opened once more, which a memory file allows to its owner.
    let file = (name == STATE_NAME)
        .then(|| OpenOptions::new().read(true).write(true).open(format!("/proc/self/fd/{fd}")));
    close(fd).unwrap_or_default();
    file.and_then(Result::ok).map_or(Taken::Stranger, Taken::Book)
}

/// A socket that was connected or only bound would never give a connection.
fn listens(socket: &(impl AsFd + AsRawFd)) -> Result<(), Fault> {
    match getsockopt(socket, sockopt::AcceptConn) {
        Ok(true) => Ok(()),
        Ok(false) if getpeername::<SockaddrStorage>(socket.as_raw_fd()).is_ok() => Err(Fault::Connected),
        Ok(false) => Err(Fault::NotListening),
        Err(errno) => Err(failed(&errno.into())),
    }
}

/// The names of a door are for its family alone; the others are for both, because one name goes to all sockets of a
/// unit.
fn fits(name: Option<&str>, door: Door) -> Result<(), Fault> {
    let other = match door {
        Door::Tcp => Door::Owner,
        Door::Owner => Door::Tcp,
    };
    if name == Some(other.name()) { Err(Fault::WrongDoor(door)) } else { Ok(()) }
}

fn failed(error: &std::io::Error) -> Fault {
    Fault::Failed(cause(error))
}

/// A word for something that is not one of our sockets: `/dev/null`, `pipe:[4711]`.
fn what_is(index: usize) -> String {
    let link = format!("/proc/self/fd/{}", FIRST_FD + index);
    std::fs::read_link(link)
        .map_or_else(|_| "nothing that is open".into(), |target| target.display().to_string())
}

/// The names that a listener may have: those of the doors, and for sockets of either family the word that our units
/// use and the one that systemd uses where a unit has none.
pub(super) const NAMES: &[&str] = &["tcp", "owner", "gateway", "loopgate.socket"];
/// `SD_LISTEN_FDS_START`.
const FIRST_FD: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pid: &str, fds: &str, names: Option<&str>) -> Variables {
        Variables { pid: Some(pid.into()), fds: Some(fds.into()), names: names.map(Into::into), first: None }
    }

    #[test]
    fn names_come_by_position() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(variables("7", "2", Some("tcp:owner")).names(7), Ok(vec![some("tcp"), some("owner")]));
        assert_eq!(variables("7", "2", None).names(7), Ok(vec![None, None]));
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        assert_eq!(Variables::default().names(7), Err(Refused::NoListener));
        assert_eq!(variables("7", "0", None).names(7), Err(Refused::NoListener));
        let refused = |variables: Variables, word: &str| match variables.names(7) {
            Err(Refused::Environment(text)) => assert!(text.contains(word), "{text}"),
            other => panic!("{other:?}"),
        };
        refused(variables("8", "1", None), "LISTEN_PID=8");
        refused(variables("", "1", None), "LISTEN_PID=");
        refused(variables("7", "-1", None), "LISTEN_FDS=-1");
        refused(variables("7", "4000000000", None), "at most");
        refused(variables("7", "2", Some("tcp")), "1 names");
        refused(Variables { pid: None, ..variables("7", "1", None) }, "LISTEN_PID is not");
        refused(Variables { first: Some("9".into()), ..variables("7", "1", None) }, "FIRST_FD");
    }

    #[test]
    fn door_names_are_for_their_family() {
        assert_eq!(fits(Some("tcp"), Door::Tcp), Ok(()));
        assert_eq!(fits(Some("gateway"), Door::Owner), Ok(()));
        assert_eq!(fits(None, Door::Owner), Ok(()));
        assert_eq!(fits(Some("tcp"), Door::Owner), Err(Fault::WrongDoor(Door::Owner)));
        assert_eq!(fits(Some("owner"), Door::Tcp), Err(Fault::WrongDoor(Door::Tcp)));
    }
}
