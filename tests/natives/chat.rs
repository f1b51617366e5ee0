//! `chat.history`, `chat.startup` and `chat.metadata`.

use loopgate::limits;
use serde_json::{Value, json};

use crate::world::{BOTH, NOW, World};

const MAIN: &str = "/state/agents/main/sessions/5f0c1c6e-0000-4000-8000-000000000001.jsonl";

/// Lines with the messages 0, 1, ... of `chars` characters each.
fn lines(count: usize, chars: usize) -> String {
    let line = |n: usize| {
        let text = format!("{n:06}{}", "x".repeat(chars.saturating_sub(6)));
        json!({"id": format!("m{n}"), "message": {"role": "user", "content": text, "timestamp": n}})
            .to_string()
    };
    (0..count).map(|n| line(n) + "\n").collect()
}

fn numbers(answer: &Value) -> Vec<u64> {
    answer["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["timestamp"].as_u64().unwrap())
        .collect()
}

#[test]
fn an_empty_session_has_the_recorded_shape() {
    let asked = json!({"sessionKey": "main"});
    let v3 = World::empty().v3().good("chat.history", asked.clone());
    assert_eq!(v3, json!({"sessionKey": "main", "messages": []}));
    let v4 = World::empty().v4().good("chat.history", asked);
    assert_eq!(
        v4,
        json!({
            "sessionKey": "main", "messages": [], "pendingInputs": {"items": [], "total": 0}, "hasMore": false,
            "totalMessages": 0, "defaults": {"modelProvider": null, "model": null, "contextTokens": null},
            "sessionInfo": {
                "key": "agent:main:main", "kind": "direct", "agentId": "main", "isMain": true, "updatedAt": null,
                "archived": false, "pinned": false, "totalTokensFresh": false, "snapshotAt": NOW,
                "hasActiveRun": false, "activeRunIds": [],
            },
        })
    );
}

#[test]
fn messages_are_shown_without_what_is_not_for_people() {
    for protocol in BOTH {
        let world = World::full().of(protocol);
        let answer = world.good("chat.history", json!({"sessionKey": "agent:main:main", "limit": 200}));
        assert_eq!(answer["sessionId"], "5f0c1c6e-0000-4000-8000-000000000001");
        assert_eq!(answer["thinkingLevel"], "high");
        assert_eq!(answer["fastMode"], true);
        assert_eq!(answer["verboseLevel"], "on");
        // The silent answer is left out, and the line that is still being written.
        let messages = answer["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 5);
        assert_eq!(messages[0]["content"][0]["text"], "Which bulbs go in before the first frost?");
        assert_eq!(messages[1]["content"][0], json!({"type": "thinking", "thinking": "Tulips, mostly."}));
        assert_eq!(messages[1]["content"][1]["text"], "Tulips and crocuses.");
        assert_eq!(
            messages[1]["usage"],
            json!({"input": 900, "output": 40, "totalTokens": 940, "cost": {"total": 0.3}})
        );
        assert_eq!(messages[2].get("details"), None);
        assert_eq!(messages[3]["__openclaw"], json!({"kind": "compaction", "id": "k1"}));
        assert!(!answer.to_string().contains("never shown"));
    }
    // What the session does not say, the configuration may.
    let answer = World::full().good("chat.history", json!({"sessionKey": "subagent:dig"}));
    assert_eq!(answer["verboseLevel"], "off");
    assert_eq!(answer.get("thinkingLevel"), None);
}

#[test]
fn a_topic_has_a_transcript_of_its_own() {
    let answer = World::full().good("chat.history", json!({"sessionKey": "telegram:group:-1001"}));
    assert_eq!(answer["messages"][0]["content"], "Who waters on Sunday?");
}

#[test]
fn the_number_of_messages_is_bounded() {
    let world = World::full().v3().file(MAIN, lines(1_200, 10));
    let count = |params: Value| numbers(&world.good("chat.history", params)).len();
    assert_eq!(count(json!({"sessionKey": "main"})), 200);
    assert_eq!(count(json!({"sessionKey": "main", "limit": 1})), 1);
    let last = numbers(&world.good("chat.history", json!({"sessionKey": "main", "limit": 1_000})));
    assert_eq!((last[0], last.len()), (200, 1_000));
    let told = |params| world.invalid("chat.history", params);
    assert_eq!(
        told(json!({"sessionKey": "main", "limit": 1_001})),
        "invalid chat.history params: at /limit: must be <= 1000"
    );
    assert_eq!(
        told(json!({"sessionKey": "main", "limit": 0})),
        "invalid chat.history params: at /limit: must be >= 1"
    );
    assert_eq!(told(json!({})), "invalid chat.history params: must have required property 'sessionKey'");
    assert_eq!(
        told(json!({"sessionKey": "agent:x"})),
        "invalid chat.history params: malformed session key \"agent:x\""
    );
}

#[test]
fn a_text_is_bounded() {
    let text = |max: usize, params: Value| {
        let world = World::full().v4().file(MAIN, lines(1, max));
        world.good("chat.history", params)["messages"][0]["content"].as_str().unwrap().to_owned()
    };
    let asked = json!({"sessionKey": "main"});
    assert_eq!(text(12_000, asked.clone()).len(), 12_000);
    let cut = text(12_001, asked);
    assert!(cut.ends_with("x\n...(truncated)...") && cut.len() == 12_000 + 18, "{}", cut.len());
    let asked = json!({"sessionKey": "main", "maxChars": 7});
    assert_eq!(text(7, asked.clone()), "000000x");
    assert_eq!(text(8, asked), "000000x\n...(truncated)...");
    let told =
        World::empty().v4().invalid("chat.history", json!({"sessionKey": "main", "maxChars": 500_001}));
    assert!(told.contains("at /maxChars: must be <= 500000"), "{told}");
}

#[test]
fn all_messages_together_are_bounded() {
    // 1,000 messages of 9,000 bytes are more than what is read and sent.
    let world = World::full().v4().file(MAIN, lines(1_000, 9_000));
    let answer = world.good("chat.history", json!({"sessionKey": "main", "limit": 1_000}));
    let bytes = answer["messages"].to_string().len();
    assert!(bytes <= limits::HISTORY_BYTES_MAX && bytes > limits::HISTORY_BYTES_MAX - 40_000, "{bytes}");
    let sent = numbers(&answer);
    assert_eq!(*sent.last().unwrap(), 999);
    // The oldest message that is sent is whole, although the read began in the middle of a line.
    assert_eq!(sent.len() as u64, 1_000 - sent[0]);
    assert_eq!(answer["messages"][0]["content"].as_str().unwrap().len(), 9_000);
    assert_eq!(answer["truncated"], true);
}

#[test]
fn a_read_that_begins_at_a_line_keeps_it() {
    let line = lines(1, 100);
    let fill = usize::try_from(limits::TRANSCRIPT_TAIL_BYTES_MAX).unwrap() - line.len();
    let exact = format!("{line}{}\n", " ".repeat(fill - 1));
    assert_eq!(exact.len() as u64, limits::TRANSCRIPT_TAIL_BYTES_MAX);
    let sent = |content: String| {
        let answer =
            World::full().v4().file(MAIN, content).good("chat.history", json!({"sessionKey": "main"}));
        (numbers(&answer).len(), answer.get("truncated").is_some())
    };
    assert_eq!(sent(exact.clone()), (1, false));
    assert_eq!(sent(format!("\n{exact}")), (1, true));
    assert_eq!(sent(format!("x{exact}")), (0, true));
}

#[test]
fn a_large_message_is_replaced_by_a_note() {
    let blocks: Vec<Value> = (0..20).map(|_| json!({"type": "text", "text": "x".repeat(8_000)})).collect();
    let line =
        json!({"message": {"role": "assistant", "content": blocks, "timestamp": 5}}).to_string() + "\n";
    let answer = World::full().file(MAIN, line).good("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(
        answer["messages"],
        json!([{
            "role": "assistant", "timestamp": 5,
            "content": [{"type": "text", "text": "[chat.history omitted: message too large]"}],
            "__openclaw": {"truncated": true, "reason": "oversized"},
        }])
    );
}

#[test]
fn protocol_4_turns_pages() {
    let world = World::full().v4().file(MAIN, lines(25, 10));
    let mut seen = Vec::new();
    let mut offset = Some(0);
    while let Some(at) = offset {
        let page = world.good("chat.history", json!({"sessionKey": "main", "limit": 10, "offset": at}));
        assert_eq!(page["totalMessages"], 25);
        let mut numbers = numbers(&page);
        numbers.extend(seen);
        seen = numbers;
        offset = page["nextOffset"].as_u64();
        assert_eq!(page["hasMore"], offset.is_some());
    }
    assert_eq!(seen, (0..25).collect::<Vec<u64>>());
    // A bound in bytes turns the pages earlier, and never shows an empty one.
    let page = world.good("chat.startup", json!({"sessionKey": "main", "limit": 10, "maxBytes": 1}));
    assert_eq!(numbers(&page), [24]);
    assert_eq!(page["nextOffset"], 1);
    let around = world.good("chat.history", json!({"sessionKey": "main", "limit": 5, "messageId": "m10"}));
    assert_eq!(numbers(&around), [8, 9, 10, 11, 12]);
    let told = world.invalid("chat.history", json!({"sessionKey": "main", "messageId": "m99"}));
    assert_eq!(told, "message not found: m99");
    let told = world.invalid("chat.history", json!({"sessionKey": "main", "sessionId": "other"}));
    assert!(told.contains("sessionId \"other\" is not that of the session"), "{told}");
    assert_eq!(
        world.good("chat.history", json!({"sessionKey": "main", "cursor": "c"})),
        json!({"kind": "reset"})
    );
    // For protocol 3 these params do not exist.
    let v3 = World::full().v3().file(MAIN, lines(25, 10));
    assert_eq!(
        numbers(
            &v3.good("chat.history", json!({"sessionKey": "main", "offset": 5, "cursor": 1, "limit": 1}))
        ),
        [24]
    );
}

#[test]
fn startup_brings_what_a_page_needs() {
    let world = World::full().v4();
    let answer = world
        .good("chat.startup", json!({"sessionKey": "agent:main:main", "limit": 80, "maxBytes": 262_144}));
    assert_eq!(answer["messages"].as_array().unwrap().len(), 5);
    assert_eq!(answer["metadata"]["models"].as_array().unwrap().len(), 2);
    assert_eq!(answer["metadata"]["commands"], json!([]));
    assert_eq!(answer["sessionInfo"]["label"], "desk");
    let alone = world.good("chat.metadata", json!({"agentId": "main", "sessionKey": "agent:main:main"}));
    assert_eq!(alone, answer["metadata"]);
    assert!(world.invalid("chat.metadata", json!({"agentId": 5})).contains("at /agentId: must be string"));
    assert!(world.invalid("chat.startup", json!({})).starts_with("invalid chat.startup params: "));
}

#[test]
fn a_transcript_that_cannot_be_read_is_named() {
    let told = World::full().broken(MAIN).unavailable("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(told, format!("{MAIN}: permission denied"));
    // One that is gone is an empty one.
    let answer = World::full().without(MAIN).good("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(answer["messages"], json!([]));
    // Lines that are no messages are passed over.
    let odd = "nonsense\n{}\n5\n\r\n{\"message\": 5}\n{\"message\": {\"role\": \"user\", \"content\": \"hi\"}}\r\n\u{0}\n";
    let answer = World::full().file(MAIN, odd).good("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(answer["messages"], json!([{"role": "user", "content": "hi"}]));
    let bytes = [b"\xff\xfe\n".as_slice(), b"{\"message\": {\"role\": \"user\"}}\n"].concat();
    let answer = World::full().file(MAIN, bytes).good("chat.history", json!({"sessionKey": "main"}));
    assert_eq!(answer["messages"], json!([{"role": "user"}]));
}
