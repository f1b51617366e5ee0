//! The stand-in: a listener whose answers are the test's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::common::TOKEN;
use crate::live::{Gate, PATIENCE};

/// A runtime that has no gateway, only HTTP.
pub(crate) struct Runtime {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

/// One request: its head, and the connection with what follows.
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) stream: TcpStream,
}

impl Runtime {
    /// Every request is given to `answer`, each in a thread of its own; the connection ends when it returns.
    pub(crate) fn start(answer: impl Fn(&mut Asked) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), answer)
    }

    /// The same at a listener that is there already.
    pub(crate) fn on(listener: TcpListener, answer: impl Fn(&mut Asked) + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&heads));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer, seen) = (stream.unwrap(), Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { port, heads }
    }

    /// The same answer for all.
    pub(crate) fn saying(answer: &'static str) -> Self {
        Self::start(move |asked| asked.say(answer))
    }

    /// A gate before it, in mode token with [`TOKEN`].
    pub(crate) fn gate(&self) -> Gate {
        gate(self.port, "")
    }

    /// The heads that came, but for those of the gateway's own protocol.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Asked {
    pub(crate) fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap_or_default();
    }

    /// So many bytes of the body.
    pub(crate) fn body(&mut self, len: usize) -> Vec<u8> {
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body).unwrap();
        body
    }
}

/// A gate before whatever is at `port`, with further settings, each with a comma before.
pub(crate) fn gate(port: u16, settings: &str) -> Gate {
    let settings = format!("{{runtime: {{port: {port}}}{settings}}}");
    let gate = Gate::new(&format!("mode: 'token', token: '{TOKEN}'"), &settings);
    gate.daemon.says(&["ready for handshakes"]);
    gate
}

/// The whole head, and not a byte more.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or_default() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn serve(mut stream: TcpStream, answer: &(dyn Fn(&mut Asked) + Sync), seen: &Mutex<Vec<String>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let head = read_head(&mut stream);
    // The gate looks whether the runtime's gateway is there; it is not.
    if head.starts_with("GET / ") && head.contains("Upgrade: websocket") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap_or_default();
    }
    // Nobody has asked: a connection that was opened and not used.
    if head.is_empty() {
        return;
    }
    seen.lock().unwrap().push(head.clone());
    answer(&mut Asked { head, stream });
}
