//! The units say the same where they do the same.
//!
//! Rule: `units/loopgate.service` is the one that explains; what the others have besides it, or lack, is listed here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The directives of a unit in order, each as `Section.Name=value`, with the names of the instance made one.
fn directives(file: &str) -> Vec<String> {
    let text =
        fs::read_to_string(root().join("units").join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
    let mut section = "";
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => {
                found.push(format!("{section}.{}", line.replace("loopgate@%i.socket", "loopgate.socket")));
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// What `file` has besides the system's unit (`+`), and what it lacks of it (`-`).
fn differences(file: &str, from: &str) -> BTreeSet<String> {
    let (theirs, ours) = (directives(file), directives(from));
    let more = theirs.iter().filter(|line| !ours.contains(line)).map(|line| format!("+{line}"));
    let less = ours.iter().filter(|line| !theirs.contains(line)).map(|line| format!("-{line}"));
    more.chain(less).collect()
}

fn expect(file: &str, from: &str, lines: &[&str]) {
    let listed: BTreeSet<String> = lines.iter().map(|&line| line.to_owned()).collect();
    let found = differences(file, from);
    let unlisted: Vec<_> = found.symmetric_difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "units/{file} differs from units/{from} in more or less than this test lists: {unlisted:#?}"
    );
}

#[test]
fn the_service_of_a_named_user_differs_in_whose_it_is() {
    expect("loopgate@.service", "loopgate.service", NAMED);
}

#[test]
fn the_service_of_a_users_manager_lacks_what_such_a_manager_cannot_do() {
    expect("user/loopgate.service", "loopgate.service", USER);
}

#[test]
fn the_sockets_differ_in_their_owner() {
    expect("loopgate@.socket", "loopgate.socket", NAMED_SOCKET);
    expect("user/loopgate.socket", "loopgate.socket", USER_SOCKET);
}

/// Both directives add to what the unit has.
#[test]
fn the_drop_in_gives_the_systems_service_what_the_others_have() {
    let added = directives(DROP_IN);
    assert_eq!(
        added,
        ["Service.RestrictAddressFamilies=AF_INET AF_INET6", "Service.IPAddressAllow=localhost"]
    );
    let with = |name: &str, file: &str| -> BTreeSet<String> {
        let own = directives(file).into_iter().chain(added.iter().filter(|_| file == SYSTEM).cloned());
        let values = own.filter_map(|line| line.strip_prefix(&format!("Service.{name}=")).map(str::to_owned));
        values.flat_map(|value| value.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect()
    };
    for name in ["RestrictAddressFamilies", "IPAddressDeny", "IPAddressAllow"] {
        assert_eq!(with(name, SYSTEM), with(name, "loopgate@.service"), "{name}=");
    }
}

/// A line that is put in force by taking its sign away has to stand in the section that it belongs to, and must not hold
/// the gate up.
#[test]
fn the_drop_in_can_start_the_runtime() {
    let text = fs::read_to_string(root().join("units").join(DROP_IN)).unwrap();
    let unit = text.split("[Unit]").nth(1).and_then(|rest| rest.split("[Service]").next()).unwrap();
    assert!(unit.lines().any(|line| line == "#Wants=openclaw-gateway.service"), "{unit}");
    assert!(!text.lines().any(|line| line.trim_start_matches('#').starts_with("After=")), "{text}");
}

/// Debian 12 has systemd 252, and complains about what it does not know.
#[test]
fn no_directive_is_newer_than_252() {
    for file in FILES.into_iter().chain([DROP_IN]) {
        for line in directives(file) {
            let name = line.split(['.', '=']).nth(1).unwrap_or_default();
            assert!(!NEWER.contains(&name), "units/{file}: {name}= is newer than systemd 252");
            assert!(!line.ends_with("=notify-reload"), "units/{file}: {line} is newer than systemd 252");
        }
    }
}

const SYSTEM: &str = "loopgate.service";
const DROP_IN: &str = "drop-in/runtime.conf";
const FILES: [&str; 6] = [
    "loopgate.service",
    "loopgate.socket",
    "loopgate@.service",
    "loopgate@.socket",
    "user/loopgate.service",
    "user/loopgate.socket",
];
const NAMED: &[&str] = &[
    "-Unit.Description=OpenClaw gateway front",
    "+Unit.Description=OpenClaw gateway front of %i",
    "-Service.User=loopgate",
    "-Service.Group=loopgate",
    "+Service.User=%i",
    "-Service.StateDirectory=loopgate",
    "+Service.StateDirectory=loopgate-users/%i",
    "-Service.ConfigurationDirectory=loopgate",
    "-Service.Environment=OPENCLAW_CONFIG_PATH=/etc/loopgate/openclaw.json",
    "-Service.Environment=OPENCLAW_STATE_DIR=%S/loopgate/openclaw",
    "-Service.ProtectHome=yes",
    "+Service.ProtectHome=read-only",
    "-Service.PrivateTmp=yes",
    "-Service.RemoveIPC=yes",
    "-Service.RestrictAddressFamilies=AF_UNIX AF_NETLINK",
    "+Service.RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6",
    "+Service.IPAddressAllow=localhost",
];
const USER: &[&str] = &[
    "-Service.User=loopgate",
    "-Service.Group=loopgate",
    "-Service.StateDirectory=loopgate",
    "-Service.StateDirectoryMode=0700",
    "-Service.ConfigurationDirectory=loopgate",
    "-Service.Environment=OPENCLAW_CONFIG_PATH=/etc/loopgate/openclaw.json",
    "-Service.Environment=OPENCLAW_STATE_DIR=%S/loopgate/openclaw",
    "-Service.CapabilityBoundingSet=",
    "-Service.ProtectSystem=strict",
    "-Service.ProtectHome=yes",
    "-Service.PrivateTmp=yes",
    "-Service.PrivateDevices=yes",
    "-Service.ProtectClock=yes",
    "-Service.ProtectControlGroups=yes",
    "-Service.ProtectHostname=yes",
    "-Service.ProtectKernelLogs=yes",
    "-Service.ProtectKernelModules=yes",
    "-Service.ProtectKernelTunables=yes",
    "-Service.ProtectProc=invisible",
    "-Service.RemoveIPC=yes",
    "-Service.IPAddressDeny=any",
    "-Service.RestrictAddressFamilies=AF_UNIX AF_NETLINK",
    "+Service.RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6",
];
const NAMED_SOCKET: &[&str] = &[
    "-Unit.Description=OpenClaw gateway port",
    "+Unit.Description=OpenClaw gateway port of %i",
    "+Unit.Conflicts=loopgate.socket",
    "+Unit.After=loopgate.socket",
    "-Socket.ListenStream=%t/loopgate/owner.sock",
    "+Socket.ListenStream=%t/loopgate/%i/owner.sock",
    "-Socket.SocketUser=root",
    "-Socket.SocketGroup=loopgate",
    "-Socket.SocketMode=0660",
    "+Socket.SocketUser=%i",
    "+Socket.SocketMode=0600",
];
const USER_SOCKET: &[&str] = &[
    "-Socket.SocketUser=root",
    "-Socket.SocketGroup=loopgate",
    "-Socket.SocketMode=0660",
    "+Socket.SocketMode=0600",
    "-Socket.IPAddressDeny=any",
    "-Socket.IPAddressAllow=localhost",
];
/// Those of 253 and later that somebody might think of.
const NEWER: [&str; 12] = [
    "ReloadSignal",
    "FileDescriptorStorePreserve",
    "RestartSteps",
    "RestartMaxDelaySec",
    "RestartMode",
    "OpenFile",
    "MemoryZSwapMax",
    "PollLimitIntervalSec",
    "PollLimitBurst",
    "PrivatePIDs",
    "ProtectHostnameEx",
    "PassFileDescriptorsToExec",
];
