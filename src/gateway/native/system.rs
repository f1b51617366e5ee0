//! `system.info` (protocol 4): the machine and this process, as the kernel tells of them in `/proc`.

use std::path::Path;

use serde_json::{Value, json};

use crate::gateway::job::Query;
use crate::limits;
use crate::wire::error::ErrorShape;

use super::answer::{Answer, Unreadable, no_params, say};

/// This process, from `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u64,
    /// When it began, in hundredths of a second after the machine did.
    began: u64,
}

/// `system.info`. `nodeVersion`, which clients require, is `none`: there is no Node in this process.
pub(in crate::gateway) fn info(query: &Query<'_>) -> Answer {
    no_params(query, "system.info")?;
    let host = &query.setup.host;
    let (platform, release) = host.platform.split_once(' ').unwrap_or((&host.platform, ""));
    let memory = kernel(query, "/proc/meminfo")?;
    let cpus = kernel(query, "/proc/cpuinfo")?;
    let load = kernel(query, "/proc/loadavg")?;
    let process = process(&kernel(query, "/proc/self/stat")?).ok_or_else(|| odd("/proc/self/stat"))?;
    let up = kernel(query, "/proc/uptime")?;
    let up = up.split_whitespace().next().and_then(hundredths).ok_or_else(|| odd("/proc/uptime"))?;
    let bytes = |key| field(&memory, key).and_then(kibibytes).ok_or_else(|| odd("/proc/meminfo"));
    let load: Vec<f64> = load.split_whitespace().take(3).filter_map(|number| number.parse().ok()).collect();
    let mut info = json!({
        "machineName": host.name,
        "hostname": host.name,
        "platform": platform,
        "release": release,
        "arch": host.arch,
        "osLabel": format!("{}{} {release}", platform.get(..1).unwrap_or_default().to_uppercase(),
            platform.get(1..).unwrap_or_default()).trim(),
        "port": query.setup.openclaw.gateway.port,
        "nodeVersion": "none",
        "pid": process.pid,
        "uptimeMs": up.saturating_sub(process.began).saturating_mul(10),
        "cpuCount": cpus.lines().filter(|line| line.starts_with("processor")).count(),
        "memoryTotalBytes": bytes("MemTotal")?,
        "memoryFreeBytes": bytes("MemAvailable")?,
    });
    if let Value::Object(info) = &mut info {
        // Not every architecture names its model.
        info.extend(field(&cpus, "model name").map(|model| ("cpuModel".to_owned(), model.into())));
        if load.len() == 3 {
            info.insert("loadAverage".to_owned(), json!(load));
        }
    }
    say(&info)
}

/// A file of `/proc`; its size is not known before it is read.
fn kernel(query: &Query<'_>, path: &str) -> Result<String, Unreadable> {
    let bytes = query.files.read(Path::new(path), limits::SMALL_FILE_BYTES_MAX);
    bytes
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|error| Unreadable::new(Path::new(path), error))
}

/// The kernel says something else than it used to.
fn odd(path: &str) -> ErrorShape {
    Unreadable::new(Path::new(path), "not in the form that Linux gives it").into()
}

/// The value of `key : value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `123.45` as 12345.
fn hundredths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.')?;
    let fraction = fraction.parse::<u64>().ok().filter(|_| fraction.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

/// The name, in parentheses, may hold anything; what follows its end is numbers.
fn process(stat: &str) -> Option<Process> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(')')?;
    // Field 22; the first one behind the name is field 3.
    let began = rest.split_whitespace().nth(19)?;
    Some(Process { pid: pid.parse().ok()?, began: began.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_forms_are_read() {
        let stat = "42 (a (b) c) S 1 1 1 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 777 1 1";
        assert_eq!(process(stat), Some(Process { pid: 42, began: 777 }));
        assert_eq!(process("42"), None);
        assert_eq!(hundredths("350735.47"), Some(35_073_547));
        assert_eq!(hundredths("5"), None);
        assert_eq!(field("A: 1\nMemTotal:  5 kB\n", "MemTotal").and_then(kibibytes), Some(5_120));
        assert_eq!(kibibytes("5 MB"), None);
    }
}
