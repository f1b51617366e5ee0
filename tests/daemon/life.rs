//! The conversation with the service manager, signals, and the command line.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::rig::{Home, Manager, Plan, get, tcp, upgraded, within};

#[test]
fn ready_is_said_when_a_handshake_succeeds() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let (listener, port) = tcp("127.0.0.1:0");
    let _daemon = Plan::new(&home, vec![listener]).var("NOTIFY_SOCKET", manager.path()).start();
    let mut heard = manager.hears_until("READY=1");
    heard.retain(|words| !words.starts_with("FDSTORE=1"));
    assert!(heard.len() <= 2, "READY comes first, or after a status: {heard:?}");
    assert!(get(port, "/readyz").contains("\"ready\":true"));
    let _client = upgraded(port);
    let status = within(Duration::from_secs(5), || {
        manager.hears_until("STATUS=").pop().filter(|line| line.contains("1 conn"))
    });
    assert!(status.is_some());
}

#[test]
fn a_start_that_fails_is_never_ready_and_says_why() {
    let home = Home::new();
    let manager = Manager::new(&home);
    home.configure("{gateway:");
    let plan = Plan::new(&home, vec![tcp("127.0.0.1:0").0]).var("NOTIFY_SOCKET", manager.path());
    assert_eq!(plan.refused().0, Some(78));
    assert!(manager.hears(Duration::from_secs(5)).unwrap().starts_with("STATUS="));
    assert_eq!(manager.hears(Duration::from_millis(100)), None);
}

#[test]
fn the_watchdog_is_fed_at_half_its_time_while_the_loop_turns() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let plan = Plan::new(&home, vec![tcp("127.0.0.1:0").0]).var("NOTIFY_SOCKET", manager.path());
    let daemon = plan.var("WATCHDOG_USEC", "400000").start();
    manager.hears_until("WATCHDOG=1");
    let start = Instant::now();
    for _ in 0..5 {
        manager.hears_until("WATCHDOG=1");
    }
    let took = start.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_millis(2000)).contains(&took), "{took:?}");
    daemon.signal(Signal::SIGSTOP);
    while manager.hears(Duration::from_millis(50)).is_some() {}
    assert_eq!(manager.hears(Duration::from_millis(600)), None, "a loop that stands still is not fed");
    daemon.signal(Signal::SIGCONT);
    manager.hears_until("WATCHDOG=1");
}

#[test]
fn a_manager_that_does_not_listen_stalls_nothing() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let (listener, port) = tcp("127.0.0.1:0");
    let plan = Plan::new(&home, vec![listener]).var("NOTIFY_SOCKET", manager.path());
    let mut daemon = plan.var("WATCHDOG_USEC", "2000").start();
    // At a ping a millisecond the socket's queue is full at once, and stays so.
    std::thread::sleep(Duration::from_millis(500));
    assert!(get(port, "/healthz").contains("200 OK"));
    let before = daemon.cpu();
    std::thread::sleep(Duration::from_millis(500));
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_millis(200), "{used:?} of processor time for words that nobody takes");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
}

#[test]
fn a_reload_is_told_from_begin_to_end_also_when_it_fails() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).var("NOTIFY_SOCKET", manager.path()).start();
    manager.hears_until("READY=1");
    for (text, words) in [
        ("{gateway: {auth: {mode: 'none'}}}", "notice the configuration was read again"),
        ("{gateway: {auth: {mode: 'nonsense'}}}", "error the configuration cannot be used"),
    ] {
        home.configure(text);
        daemon.signal(Signal::SIGHUP);
        let heard = manager.hears_until("RELOADING=1");
        assert!(heard.last().unwrap().contains("\nMONOTONIC_USEC="), "{heard:?}");
        manager.hears_until("READY=1");
        daemon.says(&[words]);
        assert!(get(port, "/healthz").contains("200 OK"));
    }
}

#[test]
fn hangups_in_a_row_end_in_the_last_configuration() {
    let home = Home::new();
    let (listener, port) = tcp("127.0.0.1:0");
    let daemon = Plan::new(&home, vec![listener]).start();
    assert!(get(port, "/healthz").contains("200 OK"));
    for round in 0..50 {
        home.configure(&format!("{{gateway: {{auth: {{mode: 'token', token: 'round-{round}'}}}}}}"));
        daemon.signal(Signal::SIGHUP);
    }
    home.configure("{gateway: {auth: {mode: 'nonsense'}}}");
    daemon.signal(Signal::SIGHUP);
    daemon.says(&["error the configuration cannot be used", "gateway.auth.mode"]);
}

#[test]
fn a_stop_says_goodbye_and_ends_with_zero() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let (listener, port) = tcp("127.0.0.1:0");
    let mut daemon = Plan::new(&home, vec![listener]).var("NOTIFY_SOCKET", manager.path()).start();
    let mut client = upgraded(port);
    daemon.signal(Signal::SIGINT);
    manager.hears_until("STOPPING=1");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    // A close frame with code 1012, service restart.
    assert!(rest.windows(2).any(|pair| pair == 1012_u16.to_be_bytes()), "{rest:?}");
    drop(client);
    assert_eq!(daemon.end().code(), Some(0));
    daemon.says(&["notice loopgated stops", "CONNECTIONS=1"]);
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    home.set("{handshake: {closingTimeoutMs: 30000}}");
    let (listener, port) = tcp("127.0.0.1:0");
    let mut daemon = Plan::new(&home, vec![listener]).start();
    let _silent = upgraded(port);
    daemon.signal(Signal::SIGINT);
    daemon.says(&["loopgated stops"]);
    std::thread::sleep(Duration::from_millis(200));
    assert!(daemon.is_running(), "it waits for a client that does not answer");
    let start = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_command_line_has_its_exit_statuses() {
    let home = Home::new();
    let (code, out, _) = home.run(&["--check"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.contains("openclaw.json: can be used") && out.contains("no such file, the defaults hold"),
        "{out}"
    );
    home.configure(
        "{gateway: {auth: {mode: 'token', token: {source: 'env', provider: 'default', id: 'NO_SUCH'}}}}",
    );
    let (code, _, err) = home.run(&["--check"]);
    assert_eq!(code, Some(78), "{err}");
    assert!(err.contains("NO_SUCH"), "{err}");
    home.configure("{gateway: {port: 'many'}}");
    let (code, _, err) = home.run(&["--check"]);
    assert_eq!(code, Some(78));
    assert!(err.contains("openclaw.json:1:"), "{err}");
    assert_eq!(home.run(&["--surprise"]).0, Some(64));
    assert_eq!(home.run(&["--version"]).1, concat!("loopgated ", env!("CARGO_PKG_VERSION"), "\n"));
    assert!(home.run(&["--help"]).1.contains("--dump=TABLE"));
}

#[test]
fn tables_are_printed_for_people_and_tests() {
    let home = Home::new();
    for (table, row) in [
        ("phases", "connect "),
        ("transitions", "Upgrade "),
        ("methods", "system-presence "),
        ("events", "presence "),
        ("admission", "origin-foreign "),
        ("passages", "canvas "),
        ("fields", "CONN_ID "),
        ("entries", "7cdcec18576a4355a4c663a5c7376159 "),
        ("settings", "handshake.timeoutMs "),
        ("limits", "CONNECTIONS_MAX "),
        ("exit-codes", "66 "),
    ] {
        let (code, out, err) = home.run(&[&format!("--dump={table}")]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{table}");
        assert!(out.lines().any(|line| line.contains(row)), "{table}: {out}");
    }
}
