//! Nodes as the runtime sees them.
//!
//! A node connects to the gate, is paired and approved here, and is called from here by clients, runtime or not. For the
//! agents in the runtime its leg is a node of the runtime's as well: under a device of its own, derived from the node's, and
//! offering what was approved here and nothing else. What the runtime asks of it goes through to the node; its answers go
//! to whoever asked.
//!
//! Rule: nobody approves a node twice. What the gate has approved it approves at the runtime itself, by its sentinel.

use serde::Deserialize;

use super::runtime::Condition;
use crate::clock::Now;
use crate::gateway::io::ConnId;
use crate::gateway::method::Method;
use crate::gateway::{Conn, Gateway};
use crate::policy::device;
use crate::wire::frame::{Request, ServerAnswer, quoted};

/// An answer of a node's, as far as it says to what.
#[derive(Deserialize)]
struct Answered {
    id: String,
}

/// The answer to `node.pair.list`.
#[derive(Deserialize)]
struct PairList {
    #[serde(default)]
    pending: Vec<Pending>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pending {
    request_id: String,
    node_id: String,
}

impl Gateway {
    /// Whether what a node says is an answer to something that the gate has asked.
    pub(super) fn is_for_us(&self, method: &Method, id: ConnId, request: &Request<'_>) -> bool {
        if !ANSWERS.contains(&method.name) {
            return false;
        }
        let answered = request.params.and_then(|params| serde_json::from_str::<Answered>(params.get()).ok());
        answered.is_none_or(|answered| self.nodes.asked(id, &answered.id))
    }

    /// What a node may offer has changed: the runtime is told with a new leg.
    pub(in crate::gateway) fn renew_leg(&mut self, id: ConnId, now: Now) {
        let Some(member) = self.conns.get_mut(id).and_then(Conn::member_mut) else { return };
        if let Some(leg) = member.outlet.leg.leg() {
            self.close_leg(leg, now);
            self.member_leg_lost(id, now);
        }
        if self.upstream.runtime.condition() == Condition::Ready {
            self.reach_out(id, now);
        }
    }

    /// Asks the runtime which nodes wait for approval.
    pub(super) fn ask_pending_nodes(&mut self) {
        self.tell_sentinel(&[r#"{"type":"req","id":"nodes","method":"node.pair.list","params":{}}"#]);
    }

    /// Approves those that are nodes of ours.
    pub(super) fn hear_pending_nodes(&mut self, answer: &ServerAnswer<'_>) {
        let list = answer.payload.filter(|_| answer.ok && answer.id == "nodes");
        let Some(Ok(list)) = list.map(serde_json::from_str::<PairList>) else { return };
        let ours: Vec<String> = self
            .nodes
            .iter()
            .map(|node| device::id_of(&self.setup.legs.node(node.id())).as_str().to_owned())
            .collect();
        for Pending { request_id, .. } in
            list.pending.iter().filter(|pending| ours.contains(&pending.node_id))
        {
            let request = quoted(request_id);
            let head = r#"{"type":"req","id":"approve","method":"node.pair.approve","params":{"requestId":"#;
            self.tell_sentinel(&[head, &request, "}}"]);
        }
    }

    fn tell_sentinel(&mut self, pieces: &[&str]) {
        let Some(sentinel) = self.upstream.runtime.sentinel() else { return };
        if let Some(leg) = self.conns.leg_mut(sentinel) {
            leg.line.send(pieces);
        }
        self.settle_leg(sentinel);
    }
}

/// What nodes say to whoever has called them.
const ANSWERS: &[&str] = &["node.invoke.progress", "node.invoke.result"];
