//! `adopt` and `release` on whatever machine the tests run on: what is refused before anything is looked at. What they do,
//! tests/machine/adopt shows.

use std::os::unix::fs::MetadataExt;

use crate::support::loopgate;

#[test]
fn a_way_and_a_port_of_the_systems_are_refused() {
    for command in ["adopt", "release"] {
        let way = loopgate(&[command, "--dry-run", "--url", "ws://127.0.0.1:1"]);
        assert_eq!(way.code, 64, "{way:?}");
        assert!(way.err.contains("leave out --socket, --url and secrets"), "{way:?}");
    }
    let low = loopgate(&["adopt", "--dry-run", "--runtime-port=80"]);
    assert_eq!(low.code, 64, "{low:?}");
    assert!(low.err.contains("1024..=65535"), "{low:?}");
}

#[test]
fn root_is_told_who_does_it() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    for command in ["adopt", "release"] {
        let root = loopgate(&[command, "--dry-run"]);
        assert_eq!(root.code, 64, "{root:?}");
        assert!(
            root.err.contains(&format!("try: loopgate {command}, as that user and without sudo")),
            "{root:?}"
        );
    }
}
