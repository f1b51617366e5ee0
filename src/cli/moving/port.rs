//! The port that a gateway is moved to.
//!
//! Facts: of its port N a gateway of OpenClaw 2026.3.13 takes N for itself, N + 2 for the control of its browser, N + 3 for
//! the relay of browser extensions, and N + 11 to N + 110 for the browsers. A node host on the machine counts from the port
//! of the clients' configuration, which stays the gate's. So the two must not meet.

use super::facts::{Facts, Holder};
use crate::cli::failure::Failure;

/// The port that OpenClaw's clients try.
pub(crate) const GATE: u16 = 18_789;
/// Where a gateway goes if nobody says otherwise: the first of them that is free. Below what the kernel gives to clients.
pub(crate) const CHOICES: [u16; 3] = [28_789, 28_989, 29_189];

/// The port for the gateway `unit`: `set` by flag or by settings, else the first free one. What is `typed` is the command
/// line's fault.
pub(super) fn choose(
    facts: &Facts,
    gate: u16,
    unit: &str,
    set: Option<u16>,
    typed: Option<u16>,
) -> Result<u16, Failure> {
    let taken = |port: u16| match facts.taken.get(&port) {
        Some(Holder::Gateway(other)) if other == unit => None,
        holder => holder,
    };
    let Some(port) = set else {
        let free = CHOICES.into_iter().find(|port| taken(*port).is_none() && !clash(*port, gate));
        return free.ok_or_else(|| {
            Failure::config(format!("the ports {CHOICES:?} are taken"))
                .next("loopgate adopt --runtime-port=PORT")
        });
    };
    if clash(port, gate) {
        let text = format!(
            "a gateway at port {port} would need ports that belong to {gate}: one takes its own, the next but one, the third, \
             and a hundred from the eleventh on"
        );
        let failure = if typed.is_some() { Failure::usage(text) } else { Failure::config(text) };
        return Err(failure.next(format!("loopgate adopt --runtime-port={}", CHOICES[0])));
    }
    match taken(port) {
        None => Ok(port),
        Some(holder) => {
            let who = match holder {
                Holder::Gateway(unit) => unit.clone(),
                Holder::Gate => "loopgate.socket".to_owned(),
                Holder::Other(words) => words.clone(),
            };
            Err(Failure::config(format!("port {port} is held by {who}"))
                .next("loopgate adopt --runtime-port=PORT"))
        }
    }
}

/// Whether what belongs to a gateway at `a` meets what belongs to one at `b`.
fn clash(a: u16, b: u16) -> bool {
    let (a, b) = (u32::from(a), u32::from(b));
    let own = |port: u32| [port..=port, port + 2..=port + 3, port + 11..=port + 110];
    let high = a + 110 > u32::from(u16::MAX);
    high || own(a).iter().any(|x| own(b).iter().any(|y| x.start() <= y.end() && y.start() <= x.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gateways_do_not_meet() {
        assert!(CHOICES.iter().all(|port| !clash(*port, GATE)));
        for pair in CHOICES.windows(2) {
            assert!(!clash(pair[0], pair[1]));
        }
        // One up, a browser's, one whose own browsers would come down upon the gate, and one without room above it.
        for port in [GATE, 18_787, 18_791, 18_800, 18_899, 18_689, 65_500] {
            assert!(clash(port, GATE), "{port}");
        }
        assert!(!clash(18_589, GATE) && !clash(19_001, GATE));
    }
}
