//! Every bound of loopgate, each with its reason. Nothing else in the crate invents a number.
//!
//! Rule: the unit is the last word of a name; a bound that is configurable has its range beside its default.

use std::time::Duration;

/// A duration that the settings may choose within stated bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// What holds when the settings are silent.
    pub default: Duration,
    /// The least that the settings may ask for.
    pub min: Duration,
    /// The most that the settings may ask for.
    pub max: Duration,
}

/// A number that the settings may choose within stated bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// What holds when the settings are silent.
    pub default: usize,
    /// The least that the settings may ask for.
    pub min: usize,
    /// The most that the settings may ask for.
    pub max: usize,
}

const fn count(default: usize, min: usize, max: usize) -> Count {
    assert!(min <= default && default <= max);
    Count { default, min, max }
}

const fn span_ms(default: u64, min: u64, max: u64) -> Span {
    assert!(min <= default && default <= max);
    Span {
        default: Duration::from_millis(default),
        min: Duration::from_millis(min),
        max: Duration::from_millis(max),
    }
}

// -- the handshake --

/// From accept to `hello-ok`. OpenClaw 2026.3.13 gave 3 s, less than its own command line needs to load on a busy
/// machine; 2026.9.6 gives 15 s.
pub const HANDSHAKE: Span = span_ms(15_000, 1_000, 120_000);
/// From the first byte to the end of the HTTP head; within [`HANDSHAKE`]. Clients connect and then load for seconds
/// (2026.3.13, eight at once: six) before they write the head, but they write it in one piece.
pub const HEAD: Span = span_ms(5_000, 500, 60_000);
/// From the close frame (or the last byte of an HTTP answer) to the peer's own end.
pub const CLOSING: Span = span_ms(2_000, 100, 30_000);
/// The HTTP request head: the largest seen from a browser is 3 KiB, cookies of other local services included.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers in a request head.
pub const HEAD_HEADERS_MAX: usize = 64;
/// One message before admission, fragments in sum; OpenClaw's own bound. The largest `connect` seen is 3 KiB.
pub const PREAUTH_MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What may wait behind `connect` until the verdict; the rest stays in the kernel's buffer.
pub const QUEUED_BYTES_MAX: usize = 128 * 1024;

// -- an open connection --

/// One message after admission: `policy.maxPayload`, OpenClaw's own bound.
pub const MESSAGE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Unsent bytes of one connection (`policy.maxBufferedBytes`): one largest message and what comes beside it. A peer
/// that lets more pile up is closed as a slow consumer.
pub const TX_QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// [`TX_QUEUE_BYTES_MAX`] as the settings may choose it: never less than one largest message and what comes beside it.
pub const TX_QUEUE_BYTES: Count =
    count(TX_QUEUE_BYTES_MAX, MESSAGE_BYTES_MAX + 2 * TX_DROPPABLE_BYTES_MAX, 512 * 1024 * 1024);
/// Above this many unsent bytes, events that the next one of their kind makes useless are left out.
pub const TX_DROPPABLE_BYTES_MAX: usize = 1024 * 1024;
/// How long a peer may leave more than [`TX_DROPPABLE_BYTES_MAX`] lying there without taking a byte of it: two ticks,
/// after which it takes us for dead as well.
pub const SLOW_MAX: Duration = Duration::from_secs(60);
/// A buffer that grew beyond this is given back once it is empty, so that idle connections stay small.
pub const BUFFER_KEEP_BYTES: usize = 4 * 1024;
/// tungstenite's read buffer: its default of 128 KiB a connection costs more than the whole handshake.
pub const FRAMING_BUFFER_BYTES: usize = 4 * 1024;
/// Frame headers of one fragmented message: more than 4,000 fragments. No client is known to send any.
pub const FRAGMENT_HEADERS_BYTES_MAX: usize = 64 * 1024;
/// The header of a WebSocket frame, mask included (RFC 6455 section 5.2).
pub const FRAME_HEADER_BYTES_MAX: usize = 14;
/// The payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;
/// The reason in a peer's close frame: a control frame's payload but for the code.
pub const PEER_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;
/// `policy.tickIntervalMs`: clients give up after two intervals of silence.
pub const TICK: Duration = Duration::from_secs(30);
/// WebSocket pings to clients of protocol 4, as their own gateway sends them.
pub const PING: Duration = Duration::from_secs(25);
/// Age at which the health snapshot is made anew.
pub const HEALTH_AGE: Duration = Duration::from_secs(60);
/// Close reason in bytes: RFC 6455 allows 123; clients of OpenClaw expect at most 120.
pub const CLOSE_REASON_BYTES_MAX: usize = 120;
/// Calls of one connection that wait for an answer (files, nodes, pairing writes).
pub const CALLS_PENDING_MAX: usize = 256;
/// Refusals for a wrong role before the connection is closed, as OpenClaw does it.
pub const ROLE_VIOLATIONS_MAX: u32 = 10;

// -- a request that passes to the runtime --

/// Bytes that wait for the runtime, and those that wait for the peer, of one request: enough for a fast transfer on
/// loopback, whatever the size of the body. A side whose bytes fill it is not read.
pub const RELAY_QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Requests that pass to the runtime at once; one more is answered 503. A browser has six at a time.
pub const RELAYS_MAX: usize = 512;
/// One chunk of a body: what a runtime takes as a whole body, and far more than any client puts into a chunk.
pub const RELAY_CHUNK_BYTES_MAX: u64 = 1 << 32;
/// The trailer of a body in chunks. No client of OpenClaw sends one.
pub const RELAY_TRAILER_BYTES_MAX: usize = 4 * 1024;
/// Reaching the runtime: the kernel answers in microseconds, but OpenClaw's process is at times busy for seconds, in which
/// it takes nobody.
pub const RELAY_DIAL: Duration = Duration::from_secs(10);
/// How long a peer may send nothing of a body, or take nothing of an answer.
pub const RELAY_PEER: Duration = Duration::from_secs(60);
/// How long the runtime may be silent over a request: an agent's turn may take that long before its first word.
pub const RELAY_RUNTIME: Duration = Duration::from_secs(3_600);
/// After how long the page that stands in for the runtime asks again: soon enough after a restart of the runtime, which
/// takes 3 to 30 s.
pub const RELAY_RETRY: Duration = Duration::from_secs(2);

// -- one turn of the loop --

/// Connections accepted in one turn.
pub const ACCEPT_TURN_MAX: usize = 64;
/// Bytes read from one connection in one turn; the rest waits for the next, so that nobody starves.
pub const READ_TURN_BYTES_MAX: usize = 64 * 1024;
/// How often a runtime that is away is tried: it is noticed again within a second, and a try costs 50 us.
pub const RUNTIME_RETRY: Duration = Duration::from_millis(500);
/// The same for one that does not let us in, or that must not have our secret: that takes a person to mend.
pub const RUNTIME_REFUSED_RETRY: Duration = Duration::from_secs(5);
/// How long the first client may have to wait for what the first try says, so that it is not answered as if there were no
/// runtime. A client was let in by an idle 2026.3.13 within 20 ms; where nobody listens the kernel says so at once.
pub const RUNTIME_FIRST: Duration = Duration::from_millis(500);
/// How long the runtime may say nothing while calls wait before it is asked for a sign of life.
pub const RUNTIME_SILENCE: Duration = Duration::from_millis(500);
/// How long it may owe that sign. With [`RUNTIME_SILENCE`] well within the 3 s that OpenClaw's probes allow for an answer.
pub const RUNTIME_STALL: Duration = Duration::from_millis(1_500);
/// From dialling a leg to the runtime's `hello-ok`. A runtime that is busy starting has been seen to take 6 s.
pub const LEG_HANDSHAKE: Duration = Duration::from_secs(10);
/// From our close of a leg to the runtime's own end.
pub const LEG_CLOSING: Duration = Duration::from_secs(1);
/// Legs at once, in sum with [`CONNECTIONS_MAX`] within the unit's LimitNOFILE=; the runtime is not made for more.
pub const LEGS_MAX: usize = 768;
/// Legs that the runtime has not let in yet: 2026.9.6 refuses the 33rd such connection.
pub const LEGS_OPENING_MAX: usize = 16;
/// How long a member waits for its turn to open a leg.
pub const LEG_TURN: Duration = Duration::from_millis(20);
/// Bytes that one leg may have unsent before its client is read no further.
pub const LEG_TX_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that a client may have unsent before its leg is read no further; the runtime's own bound holds from there on.
pub const LEG_CLIENT_TX_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Calls of one client that wait for the runtime.
pub const CALLS_MAX: usize = 1_024;
/// How long a call waits for a runtime that is away or does not turn: less than the 10 s that OpenClaw's command line waits.
pub const CALL_WAIT: Duration = Duration::from_secs(8);
/// Bytes of params that are kept of one call, to ask again or to answer natively. Larger ones are asked once.
pub const CALL_KEPT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of params kept of all calls of one client.
pub const CALLS_KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Answers that are kept for the time when the runtime is away, the largest of them, and all together.
pub const KEPT_ANSWERS_MAX: usize = 128;
/// See [`KEPT_ANSWERS_MAX`]; the largest seen is `config.schema` with 389 KB.
pub const KEPT_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// See [`KEPT_ANSWERS_MAX`].
pub const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// After how long a connection to the runtime that is not accepted yet is looked at again; twice as long each further time.
pub const DIAL_LOOK: Duration = Duration::from_millis(1);
/// The longest of these waits: what a runtime that comes back after a stall loses by it.
pub const DIAL_LOOK_MAX: Duration = Duration::from_millis(50);
/// Messages handled for one connection in one turn.
pub const MESSAGES_TURN_MAX: usize = 64;
/// Connections at once, admitted or not; beyond it the kernel's backlog waits.
pub const CONNECTIONS_MAX: usize = 16_384;
/// [`CONNECTIONS_MAX`] as the settings may choose it; the upper bound is what one process may have in open files.
pub const CONNECTIONS: Count = count(CONNECTIONS_MAX, 16, 65_536);
/// Connections that are not admitted yet. Beyond it the oldest of them is let go for each that comes, so that a flood
/// of half-open ones keeps nobody out; what is left of [`CONNECTIONS_MAX`] is for those who are admitted.
pub const ARRIVING_MAX: usize = 12_288;

// -- a session that is handed over --

/// Unread bytes in the phases accept and head: one read beyond what is enough for a verdict.
pub const HELD_HEAD_BYTES_MAX: usize = HEAD_BYTES_MAX + READ_TURN_BYTES_MAX;
/// Unread bytes before admission: one read beyond what may wait.
pub const HELD_CONNECT_BYTES_MAX: usize = QUEUED_BYTES_MAX + READ_TURN_BYTES_MAX;
/// Unread bytes after admission: the largest frame but for a byte, and one read.
pub const HELD_OPEN_BYTES_MAX: usize = MESSAGE_BYTES_MAX + FRAME_HEADER_BYTES_MAX + READ_TURN_BYTES_MAX;
/// Unwritten bytes: what the settings may allow at most, and the message with which it was too much.
pub const HELD_TX_BYTES_MAX: usize = TX_QUEUE_BYTES.max + MESSAGE_BYTES_MAX;

// -- the shell --

/// Listeners that may be handed over: both loopback families and the owner's socket, and room for a second set.
pub const LISTENERS_MAX: usize = 8;
/// Bytes written to one connection in one turn: what a fast reader takes while we write must not hold up the others.
pub const WRITE_TURN_BYTES_MAX: usize = 1024 * 1024;
/// Events that one poll tells of; more wait for the next turn.
pub const EVENTS_TURN_MAX: usize = 1_024;
/// How often, in one turn, what the gateway has to say is written and answered by it with more.
pub const ROUNDS_TURN_MAX: usize = 8;
/// Wait after the kernel had no file or memory for one more connection, unless one ends before.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A turn that takes longer is worth an entry: in 250 ms every client would notice.
pub const TURN_LATE: Duration = Duration::from_millis(250);
/// The status line is shown at most this often.
pub const STATUS: Duration = Duration::from_secs(1);
/// Words to the service manager that wait until it listens: it never falls this far behind unless it hangs.
pub const NOTICES_QUEUED_MAX: usize = 16;
/// Reports of threads that wait for the loop: one for each job that may be pending, and a few.
pub const REPORTS_QUEUED_MAX: usize = JOBS_PENDING_MAX + 16;
/// What threads get at the end to write what is queued.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// How long a start that failed holds back the next one: a loop of them costs next to nothing, and whoever corrects the
/// configuration hardly waits.
pub const START_FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Text of `/proc/net/tcp` that is searched where the kernel answers no exact question: about 27,000 sockets.
pub const PROC_NET_BYTES_MAX: u64 = 4 * 1024 * 1024;

// -- the hand-over --

/// What the memory file may hold in bytes. A planned stop saves what is unread and unwritten, too, and writes as much as
/// this in 200 ms; who does not fit in any more ends with the process.
pub const HANDOVER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Records that are copied to the end of the memory file in one turn to make room.
pub const HANDOVER_TIDY_TURN_MAX: usize = 64;
/// Sockets in one message: the kernel's own bound (`SCM_MAX_FD`).
pub const HANDOVER_BATCH_MAX: usize = 253;
/// Connections that are parked one by one before those that are still there are moved on together. A socket pair takes
/// 278 messages at the kernel's default buffer size.
pub const HANDOVER_YOUNG_MAX: usize = 128;
/// Messages in the lot of those that stay, before it is swept; see [`HANDOVER_YOUNG_MAX`].
pub const HANDOVER_MESSAGES_MAX: usize = 160;
/// Messages that are looked at in one turn of a sweep: each moves up to [`HANDOVER_BATCH_MAX`] sockets, in 50 us.
pub const HANDOVER_SWEEP_TURN_MAX: usize = 4;
/// Parked connections that may be dead without a sweep, beside a part of those that live. In sum with [`CONNECTIONS_MAX`]
/// it has to stay below the unit's `LimitNOFILE=`, for the kernel counts parked sockets against it.
pub const HANDOVER_DEAD_MIN: usize = 256;
/// How long a dead connection may stay parked: until then the kernel keeps its socket.
pub const HANDOVER_DEAD_MAX: Duration = Duration::from_secs(5);
/// Entries that the service manager may hand back beside the listeners. Ours are 5, and 10 while they are replaced; what
/// else a unit may have been given to keep must not stand in the way of a start.
pub const HANDOVER_STORED_MAX: usize = 1_024;
/// Processes in a row that may end while they take over before what they take over is given up: it is then the cause. One
/// that is killed by hand at just that moment is no reason yet.
pub const HANDOVER_ATTEMPTS_MAX: u64 = 8;
/// How long a planned stop waits for the disk before it says so to those who wait.
pub const HANDOVER_SETTLE: Duration = Duration::from_secs(2);
/// How often what all connections share is saved while it changes.
pub const HANDOVER_SHARE: Duration = Duration::from_millis(200);

// -- memory of things --

/// How long a change of the presence list waits for others before all readers get the list.
pub const PRESENCE_SETTLE: Duration = Duration::from_millis(100);
/// Presence entries, and how long one lives after its last sign of life; OpenClaw's numbers.
pub const PRESENCE_MAX: usize = 200;
/// See [`PRESENCE_MAX`].
pub const PRESENCE_AGE: Duration = Duration::from_secs(300);
/// Paired devices; beyond it pairing is refused, nothing is forgotten.
pub const DEVICES_MAX: usize = 1_024;
/// Pairing requests that wait for an approval.
pub const PAIRING_PENDING_MAX: usize = 64;
/// Life of a pairing request and of an idle one; OpenClaw's number.
pub const PAIRING_PENDING_AGE: Duration = Duration::from_secs(300);
/// Life of a bootstrap token; OpenClaw's number.
pub const BOOTSTRAP_AGE: Duration = Duration::from_secs(600);
/// Bootstrap tokens that are remembered as used; each is forgotten after [`BOOTSTRAP_AGE`]. Beyond it none is taken.
pub const BOOTSTRAP_SPENT_MAX: usize = 256;
/// How long the secret before a rotation is still taken: a device that is connecting at that moment gets in.
pub const TOKEN_OVERLAP: Duration = Duration::from_secs(60);
/// Device proofs may be this far from our clock, either way; OpenClaw's number.
pub const DEVICE_SKEW_MS: u64 = 120_000;
/// Failed attempts of one source in [`TRIES_WINDOW`] before it is locked out for [`LOCKOUT`]; OpenClaw's numbers, where
/// `gateway.auth.rateLimit` is silent.
pub const TRIES_MAX: u32 = 10;
/// See [`TRIES_MAX`].
pub const TRIES_WINDOW: Duration = Duration::from_secs(60);
/// See [`TRIES_MAX`].
pub const LOCKOUT: Duration = Duration::from_secs(300);
/// Sources of failed attempts that are remembered.
pub const PENALTY_SOURCES_MAX: usize = 4_096;
/// Queued system events (`status.queuedSystemEvents`).
pub const SYSTEM_EVENTS_MAX: usize = 20;
/// A queued system event in bytes; a longer one is cut.
pub const SYSTEM_EVENT_BYTES_MAX: usize = 2_000;
/// Roles, scopes and tags of one presence entry.
pub const PRESENCE_WORDS_MAX: usize = 16;
/// Sessions whose messages one connection may follow.
pub const SUBSCRIPTIONS_MAX: usize = 64;
/// A session key; OpenClaw's number.
pub const SESSION_KEY_BYTES_MAX: usize = 512;
/// Invocations of a node that wait for its answer, in all.
pub const INVOCATIONS_PENDING_MAX: usize = 1_024;
/// Wait for a node's answer when the caller names none, and the most a caller may name.
pub const INVOCATION: Span = span_ms(30_000, 1, 600_000);
/// Nodes with work that waits (`node.pending.*`); each has at most one item of a kind.
pub const NODE_QUEUES_MAX: usize = 1_024;
/// Life of an item of such work when the caller names none; OpenClaw's number.
pub const NODE_WORK_AGE: Duration = Duration::from_secs(86_400);
/// Items that one `node.pending.drain` may take, and how many it takes when it does not say; OpenClaw's numbers.
pub const NODE_DRAIN_MAX: usize = 10;
/// See [`NODE_DRAIN_MAX`].
pub const NODE_DRAIN_DEFAULT: usize = 4;
/// What a node says of itself outside `connect` (`node.pair.request`), as JSON: as much as fits into a `connect`.
pub const NODE_ASK_BYTES_MAX: usize = PREAUTH_MESSAGE_BYTES_MAX;
/// The name that an operator gives a device or a node; OpenClaw takes 64 characters.
pub const LABEL_BYTES_MAX: usize = 256;
/// Jobs (file reads) that wait for the worker.
pub const JOBS_PENDING_MAX: usize = 256;

// -- the command line --

/// The time for a command line's handshake, and then for each answer. OpenClaw's command line waits as long.
pub const CLI_REQUEST: Span = span_ms(10_000, 1, 3_600_000);
/// How long a transient failure is worked at: longer than a restart of the service takes, shorter than patience.
pub const CLI_WAIT: Span = span_ms(5_000, 0, 3_600_000);
/// The first pause between two attempts; each one is twice as long, up to [`CLI_BACKOFF_MAX`].
pub const CLI_BACKOFF_MIN: Duration = Duration::from_millis(50);
/// See [`CLI_BACKOFF_MIN`]: a gateway that comes back is noticed within this.
pub const CLI_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The wait for the gateway's goodbye; the answer is here already, so nobody needs it.
pub const CLI_CLOSING: Duration = Duration::from_millis(250);
/// One answer that a command line reads: one largest message of any gateway, and some room.
pub const CLI_ANSWER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
/// Params that a command line reads from standard input: one largest message.
pub const CLI_PARAMS_BYTES_MAX: u64 = MESSAGE_BYTES_MAX as u64;
/// Characters of a device id that tables show, and the least that may stand for the whole of it.
pub const CLI_ID_CHARS: usize = 12;

// -- the journal --

/// Repeats of a decision are summed and written at least this often.
pub const DECISIONS_FLUSH: Duration = DECISIONS_FLUSH_SPAN.default;
/// [`DECISIONS_FLUSH`] as the settings may choose it: often enough to follow, seldom enough to spare the journal.
pub const DECISIONS_FLUSH_SPAN: Span = span_ms(10_000, 500, 60_000);
/// Entries that may be written one by one in [`DECISIONS_FLUSH`]; beyond it they are summed by kind and cause.
pub const ENTRIES_BURST_MAX: u32 = 2_000;
/// Distinct sums kept at once; one more goes into the sum of its entry kind.
pub const SUMS_MAX: usize = 1_024;
/// Entries that wait for journald; beyond it they are dropped and counted.
pub const ENTRIES_QUEUED_MAX: usize = 4_096;
/// Text of a peer's making in an entry (client ids, reasons); longer ones are cut.
pub const FIELD_BYTES_MAX: usize = 256;

// -- files --

/// openclaw.json and loopgate.conf.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Nested lists and objects in a configuration: far beyond any file written by hand; it bounds the parser's stack.
pub const CONFIG_DEPTH_MAX: usize = 96;
/// Values in one configuration file: far beyond any file written by hand; it bounds memory.
pub const CONFIG_VALUES_MAX: usize = 200_000;
/// `$include` inside an included file; OpenClaw's own bound.
pub const CONFIG_INCLUDE_DEPTH_MAX: usize = 10;
/// Files that one configuration may include in all: lists of includes in includes grow as a power of their depth.
pub const CONFIG_INCLUDES_MAX: usize = 256;
/// One included file; OpenClaw's own bound. In sum [`CONFIG_BYTES_MAX`] holds.
pub const CONFIG_INCLUDE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// `windowMs` and `lockoutMs` of `gateway.auth.rateLimit`: more than a day is a mistake in the unit.
pub const RATE_LIMIT_MILLIS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// A file of secrets; OpenClaw's own bound.
pub const SECRET_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Entries of a list in loopgate.conf; far beyond any list written by hand.
pub const SETTINGS_LIST_MAX: usize = 64;
/// The name of a unit; systemd takes no longer ones.
pub const UNIT_NAME_CHARS_MAX: usize = 255;
/// `serverVersion`: it is shown in one line.
pub const VERSION_CHARS_MAX: usize = 64;
/// A state file of OpenClaw that is read whole (sessions.json, jobs.json).
pub const STATE_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Entries of a folder that are looked at.
pub const FOLDER_ENTRIES_MAX: usize = 16_384;
/// The tail of a transcript that `chat.history` looks at.
pub const TRANSCRIPT_TAIL_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// The head of a transcript in which a title is looked for; OpenClaw's number.
pub const TITLE_HEAD_BYTES: u64 = 8 * 1024;
/// The tail of a transcript in which the last message is looked for; OpenClaw's number.
pub const LAST_MESSAGE_TAIL_BYTES: u64 = 16 * 1024;
/// The tail of a transcript that a preview is made from: OpenClaw's last and largest try.
pub const PREVIEW_TAIL_BYTES: u64 = 1024 * 1024;
/// Small files of a person's making (IDENTITY.md, voicewake.json) and of the kernel's (/proc).
pub const SMALL_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Run logs of all cron jobs in sum; OpenClaw prunes each at 2 MB.
pub const RUN_LOGS_BYTES_MAX: u64 = 64 * 1024 * 1024;

// -- answers of native methods; OpenClaw's numbers, so that a client sees the same through every gateway --

/// Messages of `chat.history` when the caller names no number, and the most that a caller may name.
pub const HISTORY_MESSAGES: Count = count(200, 1, 1_000);
/// Characters (UTF-16) of one text in `chat.history`, and the most that a caller of protocol 4 may name.
pub const HISTORY_TEXT_CHARS: Count = count(12_000, 1, 500_000);
/// One message of `chat.history` as JSON; a larger one is replaced by a note.
pub const HISTORY_MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// All messages of one `chat.history` as JSON; the oldest are left out.
pub const HISTORY_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Rows of `sessions.list` for protocol 4 when the caller names no number.
pub const SESSIONS_LISTED: usize = 100;
/// Sessions of one `sessions.preview`.
pub const PREVIEW_KEYS_MAX: usize = 64;
/// Messages of one preview.
pub const PREVIEW_ITEMS: Count = count(12, 1, 50);
/// Characters of one message in a preview.
pub const PREVIEW_CHARS: Count = count(240, 20, 2_000);
/// Characters of a session's label: protocol 3, protocol 4.
pub const LABEL_CHARS_MAX: [usize; 2] = [64, 512];
/// Lines of `logs.tail`.
pub const LOG_LINES: Count = count(500, 1, 5_000);
/// Bytes of `logs.tail`.
pub const LOG_BYTES: Count = count(250_000, 1, 1_000_000);
/// Rows of a page of `cron.runs`, and the most of a page of `cron.list`.
pub const CRON_PAGE: Count = count(50, 1, 200);
/// Session keys of one `sessions.viewers.set`.
pub const VIEWED_SESSIONS_MAX: usize = 32;

const _: () = assert!(TX_QUEUE_BYTES_MAX > MESSAGE_BYTES_MAX + TX_DROPPABLE_BYTES_MAX);
const _: () = assert!(ARRIVING_MAX < CONNECTIONS_MAX);
const _: () = assert!(QUEUED_BYTES_MAX > PREAUTH_MESSAGE_BYTES_MAX);

/// The longest prefix of `text` that has at most `max` bytes and ends between characters.
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let end = (0..=max).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("aü", 2), "a");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("ü", 0), "");
    }
}
