//! A runtime that answers late, never, twice and what nobody has asked; that stops, dies, starts and refuses.

use loopgate::gateway::io::{ConnId, Input};
use serde_json::json;

use crate::World;
use crate::common::client::Device;
use crate::runtime::Manner;

impl World {
    /// The runtime does something.
    pub fn runtime_acts(&mut self) {
        match self.seed.below(200) {
            0 => self.runtime_dies(),
            1 => self.runtime.manner = Manner::Frozen,
            2 => {
                let error = json!({"code": "UNAVAILABLE", "message": "starting", "retryable": true});
                self.runtime.manner = Manner::Refuses(error);
            }
            3 => self.runtime.manner = Manner::Refuses(json!({"code": "X", "message": "wrong secret"})),
            4 => self.runtime.manner = Manner::Mute,
            5..8 => self.break_a_leg(),
            8 => self.runtime.owner = if self.seed.once_in(4) { 4711 } else { crate::OWNER },
            9..25 => self.runtime.manner = Manner::Serves,
            25..45 => self.runtime_tells(),
            45..110 => self.runtime_answers(),
            _ => {
                self.runtime.most = if self.seed.once_in(4) { 1 + self.seed.below(300) } else { usize::MAX };
                self.runtime.turn(&mut self.gateway, self.now);
            }
        }
    }

    /// Its process is gone.
    pub fn runtime_dies(&mut self) {
        let last_first = self.seed.once_in(2);
        self.runtime.die(&mut self.gateway, last_first, self.now);
        self.allow_gaps();
    }

    fn break_a_leg(&mut self) {
        if self.runtime.legs.is_empty() {
            return;
        }
        let index = self.seed.below(self.runtime.legs.len());
        let conn = self.runtime.legs.remove(index).conn;
        let input = if self.seed.once_in(2) { Input::Lost { conn } } else { Input::Eof { conn } };
        self.gateway.handle(input, self.now);
        self.allow_gaps();
    }

    /// The gateway has closed a connection, which may have been a leg, let in or not.
    pub fn leg_closed(&mut self, conn: ConnId) {
        if !self.book.contains_key(&conn) {
            self.allow_gaps();
        }
        self.runtime.closed(conn);
    }

    /// A leg was lost: its client finds one number left out.
    pub fn allow_gaps(&mut self) {
        for actor in &mut self.actors {
            actor.slack += 1;
        }
    }

    /// A leg that is let in and whose runtime can speak.
    fn open_leg(&mut self) -> Option<usize> {
        let legs = self.runtime.legs.iter().enumerate();
        let open: Vec<usize> =
            legs.filter(|(_, leg)| leg.open && !leg.closed).map(|(index, _)| index).collect();
        (self.runtime.manner != Manner::Frozen && !open.is_empty()).then(|| open[self.seed.below(open.len())])
    }

    /// An answer to something that was asked, of any kind, and now and then once more.
    fn runtime_answers(&mut self) {
        let Some(index) = self.open_leg() else { return };
        let leg = &self.runtime.legs[index];
        if leg.asked.is_empty() {
            return;
        }
        let at = self.seed.below(leg.asked.len());
        let again = self.seed.once_in(6);
        let asked = leg.asked[at].clone();
        let (ok, rest) = match self.seed.below(6) {
            0 => (false, r#""error":{"code":"X","message":"no"}"#.to_owned()),
            1 => (false, format!(r#""error":{{"code":"X","message":"unknown method: {}"}}"#, asked.method)),
            2 if asked.method == "agent" => (true, r#""payload":{"status":"accepted"}"#.to_owned()),
            _ => (true, r#""payload":{"status":"ok","b":1.50}"#.to_owned()),
        };
        if !again && !rest.contains("accepted") {
            self.runtime.legs[index].asked.remove(at);
        }
        self.tally.answers += 1;
        self.runtime_says(index, &format!(r#"{{"type":"res","id":"{}","ok":{ok},{rest}}}"#, asked.id));
    }

    /// An event, or a call of a node.
    fn runtime_tells(&mut self) {
        let Some(index) = self.open_leg() else { return };
        let is_node =
            self.runtime.legs[index].connect.as_ref().is_some_and(|connect| connect["role"] == "node");
        let text = if is_node {
            self.called += 1;
            let payload = json!({"id": format!("of-the-runtime-{}", self.called), "command": "system.which",
                "nodeId": Device::new(2).id()});
            json!({"type": "event", "event": "node.invoke.request", "payload": payload}).to_string()
        } else {
            let names = ["chat", "agent", "health", "presence", "tick", "exec.approval.requested", "no.such"];
            let name = names[self.seed.below(names.len())];
            let seq = if self.seed.once_in(3) { "" } else { r#","seq":1"# };
            format!(r#"{{"type":"event","event":"{name}","payload":{{"n":1}}{seq}}}"#)
        };
        self.runtime_says(index, &text);
    }

    /// In one piece or in two.
    fn runtime_says(&mut self, index: usize, text: &str) {
        let leg = &mut self.runtime.legs[index];
        let (conn, bytes) = (leg.conn, leg.encode(text));
        let cut = self.seed.below(bytes.len());
        for bytes in [&bytes[..cut], &bytes[cut..]] {
            if !bytes.is_empty() {
                self.gateway.handle(Input::Bytes { conn, bytes }, self.now);
            }
        }
    }
}
