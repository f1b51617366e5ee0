//! Which HTTP requests pass to the runtime: the whole product of the facts, and the table.

use std::collections::BTreeSet;
use std::time::Duration;

use loopgate::policy::facts::PeerClass;
use loopgate::policy::origin::{HostClass, OriginClass};
use loopgate::policy::passage::{Access, Bearer, Denial, PASSAGES, Pass, PassageRow, Request, decide};
use loopgate::policy::scope::Scopes;
use loopgate::policy::surroundings::Surroundings;
use loopgate::policy::target::Path;

const PEERS: [PeerClass; 4] =
    [PeerClass::Owner, PeerClass::Allowed(1001), PeerClass::Other(1002), PeerClass::Unknown];
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"];
const SITES: [Option<&str>; 6] =
    [None, Some("same-origin"), Some("same-site"), Some("cross-site"), Some("none"), Some("")];
const BEARERS: [Bearer; 5] = [
    Bearer::Absent,
    Bearer::Opens(Scopes::ADMIN),
    Bearer::Opens(Scopes::READ),
    Bearer::Wrong,
    Bearer::Locked(Duration::from_secs(9)),
];

fn surroundings() -> Vec<Surroundings> {
    let origins = || {
        let page = OriginClass::Allowed("https://app.example".parse().unwrap());
        [OriginClass::Absent, OriginClass::Own, page, OriginClass::Foreign]
    };
    let hosts = [HostClass::Absent, HostClass::Loopback, HostClass::Foreign];
    let forwarded = [None, Some("x-forwarded-for".to_owned())];
    let all = hosts.into_iter().flat_map(|host| origins().map(|origin| (host, origin)));
    all.flat_map(|(host, origin)| {
        forwarded.clone().map(|forwarded| Surroundings { host, origin: origin.clone(), forwarded })
    })
    .collect()
}

/// Every combination of the facts, with the answer.
fn each(mut look: impl FnMut(&PassageRow, &Request<'_>, Bearer, &Result<Pass, Denial>)) {
    let surroundings = surroundings();
    for row in PASSAGES {
        for (surroundings, peer) in surroundings.iter().flat_map(|one| PEERS.map(|peer| (one, peer))) {
            for (method, site) in METHODS.into_iter().flat_map(|method| SITES.map(|site| (method, site))) {
                for (bearer, open) in BEARERS.into_iter().flat_map(|one| [(one, false), (one, true)]) {
                    for upgrade in [false, true] {
                        let request = Request { peer, surroundings, method, site, upgrade, open };
                        look(row, &request, bearer, &decide(row, &request, bearer));
                    }
                }
            }
        }
    }
}

#[test]
fn s30_no_page_from_elsewhere_gets_anything() {
    each(|row, request, _, answer| {
        let Surroundings { host, origin, .. } = request.surroundings;
        if *host == HostClass::Foreign || *origin == OriginClass::Foreign {
            let status = answer.as_ref().expect_err(row.name).refusal.status;
            assert_eq!(status, 403, "{} {request:?}", row.name);
        }
    });
}

#[test]
fn s31_what_may_change_something_is_asked_for_by_our_own_pages_or_by_no_page() {
    each(|row, request, _, answer| {
        let named = matches!(request.surroundings.origin, OriginClass::Allowed(_));
        let elsewhere = request.site.is_some_and(|site| site != "same-origin") && !named;
        if answer.is_ok() && !matches!(request.method, "GET" | "HEAD") {
            assert!(!elsewhere, "{} {request:?}", row.name);
            assert!(!row.reads_only && !request.upgrade);
        }
        if matches!(request.method, "TRACE" | "get") {
            assert!(answer.is_err(), "{} {request:?}", row.name);
        }
    });
}

#[test]
fn s42_a_user_whom_nobody_named_gains_nothing_from_our_connection_looking_local() {
    each(|row, request, bearer, answer| {
        let anybody = matches!(row.access, Access::Public | Access::Own);
        match request.peer {
            PeerClass::Other(_) => assert!(answer.is_err() || anybody, "{} {request:?}", row.name),
            PeerClass::Unknown if matches!(bearer, Bearer::Absent) => {
                assert!(answer.is_err() || anybody, "{} {request:?}", row.name);
            }
            // What the runtime gives to whoever it takes for local, it gives to the owner.
            PeerClass::Allowed(_) if row.access == Access::Near && matches!(bearer, Bearer::Absent) => {
                let seen = request.surroundings.forwarded.is_some();
                assert!(answer.is_err() || seen, "{} {request:?}", row.name);
            }
            _ => {}
        }
    });
}

#[test]
fn s18_only_a_credential_that_opens_enough_becomes_the_runtimes() {
    let mut granted = 0;
    each(|row, request, bearer, answer| {
        if *answer == Ok(Pass::WithSecret) {
            granted += 1;
            let Bearer::Opens(scopes) = bearer else { panic!("{} {request:?}", row.name) };
            assert!(scopes.covers(row.need) && row.access.asks_for_credential());
        }
        // A public path is no place to try one.
        if row.access == Access::Public {
            assert!(matches!(answer, Ok(Pass::Bare) | Err(_)));
        }
    });
    assert!(granted > 0);
}

#[test]
fn s11_a_wrong_credential_is_refused_and_counted_at_every_door() {
    each(|row, request, bearer, answer| {
        let asked = row.access.asks_for_credential();
        let counted = matches!(answer, Err(denial) if denial.counts);
        assert!(!counted || (asked && bearer == Bearer::Wrong), "{} {request:?}", row.name);
        if asked && bearer == Bearer::Wrong && !request.open {
            assert!(answer.is_err(), "{} {request:?}", row.name);
        }
        if asked && matches!(bearer, Bearer::Locked(_)) {
            assert!(answer.is_err(), "{} {request:?}", row.name);
        }
        if counted {
            assert_eq!(answer.as_ref().unwrap_err().refusal.status, 401);
        }
    });
}

#[test]
fn s17_a_request_without_a_credential_passes_where_the_table_says_so() {
    let plain = Surroundings { host: HostClass::Loopback, origin: OriginClass::Absent, forwarded: None };
    for row in PASSAGES {
        let ask = |peer, bearer, open| {
            let request =
                Request { peer, surroundings: &plain, method: "GET", site: None, upgrade: false, open };
            decide(row, &request, bearer)
        };
        let owner = ask(PeerClass::Owner, Bearer::Absent, false);
        assert_eq!(owner.is_ok(), row.access != Access::Bearer, "{}", row.name);
        let allowed = ask(PeerClass::Allowed(1001), Bearer::Absent, false);
        let known = matches!(row.access, Access::Public | Access::Own | Access::Known);
        assert_eq!(allowed.is_ok(), known, "{}", row.name);
        // Where no secret is asked for, the owner needs none.
        assert!(ask(PeerClass::Owner, Bearer::Absent, true).is_ok(), "{}", row.name);
        assert!(ask(PeerClass::Owner, Bearer::Opens(Scopes::ADMIN), false).is_ok(), "{}", row.name);
        let wrong = ask(PeerClass::Owner, Bearer::Wrong, false);
        assert_eq!(
            wrong.is_err_and(|denial| denial.counts),
            row.access.asks_for_credential(),
            "{}",
            row.name
        );
    }
}

#[test]
fn rows_have_names_and_paths_of_their_own() {
    let names: BTreeSet<_> = PASSAGES.iter().map(|row| row.name).collect();
    let paths: Vec<_> = PASSAGES.iter().flat_map(|row| row.paths).collect();
    assert_eq!(names.len(), PASSAGES.len());
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
    assert!(PASSAGES.iter().all(|row| !row.doc.is_empty() && !row.access.name().is_empty()));
}

#[test]
fn paths_belong_to_their_rows_in_any_spelling_that_is_taken() {
    let row = |path| PassageRow::of(Path::of(path).unwrap(), false, Some("/my/hooks/*")).map(|row| row.name);
    for (path, name) in [
        ("/", "ui-files"),
        ("/assets/index.js", "ui-files"),
        ("/control-ui-config.json", "ui-config"),
        ("/__openclaw/control-ui-config.json", "ui-config"),
        ("/__openclaw__/control-ui-config.json", "ui-config"),
        ("/__openclaw__/board/x", "rest"),
        ("/j/abc", "tickets"),
        ("/hooks/wake", "hooks"),
        ("/my/hooks/wake", "hooks"),
        ("/my/hooks", "hooks"),
        ("/my/hook", "rest"),
        ("/Hooks/agent", "rest"),
        ("/My/hooks/agent", "rest"),
        ("/Assets/x.js", "rest"),
        ("/oauth/mcp/callback", "oauth"),
        ("/desktop/observe", "tickets"),
        ("/v1/chat/completions", "api"),
        ("/V1/models", "api"),
        ("/tools/invoke", "api"),
        ("/tools/invoke/", "api"),
        ("/sessions/agent%3Amain%3Amain/kill", "api"),
        ("/__openclaw__/canvas/", "canvas"),
        ("/__OPENCLAW__/a2ui/", "canvas"),
        ("/__openclaw__/cap/x/__openclaw__/ws", "canvas"),
        ("/__openclaw__/worker", "tickets"),
        ("/chat", "rest"),
        ("/avatar/main", "rest"),
        ("/api/users/x", "rest"),
        ("/api/channels/mattermost/command", "rest"),
    ] {
        assert_eq!(row(path), Some(name), "{path}");
    }
    // Whatever the path of webhooks is, it opens nothing that has a rule.
    let bold = |path| PassageRow::of(Path::of(path).unwrap(), false, Some("/v1/*")).map(|row| row.name);
    assert_eq!(bold("/v1/models"), Some("api"));
    let socket = |path| PassageRow::of(Path::of(path).unwrap(), true, None).map(|row| row.name);
    assert_eq!(socket("/__openclaw__/ws"), Some("canvas"));
    assert_eq!(socket("/desktop/observe"), Some("tickets"));
    for path in ["/", "/ws", "/chat", "/v1/chat/completions", "/hooks/x"] {
        assert_eq!(socket(path), None, "{path}: a socket of the gateway's protocol");
    }
}
