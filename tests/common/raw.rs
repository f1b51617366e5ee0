//! A client below its library: frames by hand, bytes to the end; and what takes more than most tests need.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::TOKEN;
use crate::live::PATIENCE;
use crate::rig::Home;

/// One masked frame, final.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    coded(0x80 | opcode, payload)
}

/// One masked frame, not final.
pub fn fragment(opcode: u8, payload: &[u8]) -> Vec<u8> {
    coded(opcode, payload)
}

/// A request as JSON.
pub fn request(id: &str, method: &str, params: &Value) -> String {
    json!({"type": "req", "id": id, "method": method, "params": params}).to_string()
}

/// Everything up to the end of the connection.
pub fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("still open after {PATIENCE:?}"),
            Ok(_) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
        }
    }
}

/// A log of OpenClaw's, of which one answer takes about a million bytes.
pub fn write_large_log(home: &Home) {
    let folder = home.path.join("logs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let line = format!("{}\n", "x".repeat(999));
    std::fs::write(folder.join("openclaw.log"), line.repeat(4_000)).expect("a file");
    home.configure(&format!(
        "{{gateway: {{auth: {{mode: 'token', token: '{TOKEN}'}}}}, logging: {{file: '{}'}}}}",
        folder.join("openclaw.log").display()
    ));
}

/// Raises this process's own limit of open files as far as it goes.
pub fn raise_file_limit() -> usize {
    let own = format!("--pid={}", std::process::id());
    let output = Command::new("sh").args(["-c", "ulimit -H -n"]).output().expect("a shell");
    let hard = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // Without the tool the limit stays as it is.
    Command::new("prlimit")
        .args([own, format!("--nofile={hard}:{hard}")])
        .status()
        .map(drop)
        .unwrap_or_default();
    let text = std::fs::read_to_string("/proc/self/limits").expect("limits");
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).expect("a line");
    line.split_ascii_whitespace().next().and_then(|soft| soft.parse().ok()).expect("a number")
}

/// The mask is zero, so that the payload stands there as it is.
fn coded(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let length = payload.len();
    if let Some(length) = u8::try_from(length).ok().filter(|length| *length < LENGTH_IN_TWO_BYTES) {
        bytes.push(MASKED | length);
    } else if let Ok(length) = u16::try_from(length) {
        bytes.push(MASKED | LENGTH_IN_TWO_BYTES);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(MASKED | LENGTH_IN_EIGHT_BYTES);
        bytes.extend((length as u64).to_be_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

const MASKED: u8 = 0x80;
const LENGTH_IN_TWO_BYTES: u8 = 0x7e;
const LENGTH_IN_EIGHT_BYTES: u8 = 0x7f;
