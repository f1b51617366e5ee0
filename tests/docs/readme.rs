//! README.md: the commands that it tells people to type exist, and so do the places that it names.

use std::collections::BTreeSet;
use std::path::Path;

use loopgate::policy::rules::Rule;

use crate::page::read;

/// What stands in backquotes in a line of prose, and every line of a block of code.
fn code() -> Vec<String> {
    let readme = read("README.md");
    let mut found = Vec::new();
    for (index, part) in readme.split("```").enumerate() {
        if index % 2 == 1 {
            found.extend(part.lines().skip(1).map(str::to_owned));
        } else {
            found.extend(part.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The words behind each `program` at the beginning of a command.
fn commands(program: &str) -> Vec<Vec<String>> {
    let words = |line: &String| {
        let line = line.split(" # ").next().unwrap_or_default();
        let assigns = |word: &&str| word.contains('=') && !word.starts_with('-');
        let words = line.split_whitespace().filter(|word| *word != "$").skip_while(assigns);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = code().iter().map(words).collect::<Vec<_>>();
    let named = |words: &&Vec<String>| {
        words.first().is_some_and(|first| first.rsplit('/').next() == Some(program)) && words.len() > 1
    };
    all.iter().filter(named).map(|words| words.iter().skip(1).cloned().collect()).collect()
}

#[test]
fn make_targets_exist() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(": ").or(line.split_once(':')))
        .map(|(target, _)| target)
        .collect();
    let used: BTreeSet<String> = commands("make").iter().filter_map(|words| words.first().cloned()).collect();
    assert!(used.len() >= 5, "{used:?}");
    for target in used {
        assert!(targets.contains(target.as_str()), "the Makefile has no target {target}");
    }
}

#[test]
fn subcommands_exist() {
    let used = commands("loopgate");
    assert!(!used.is_empty());
    for words in used {
        let line = std::iter::once("loopgate".to_owned()).chain(words.iter().cloned());
        let parsed = loopgate::cli::description().try_get_matches_from(line);
        assert!(parsed.is_ok(), "loopgate does not take {words:?}");
    }
    for words in commands("loopgated").iter().filter(|words| words[0] != "--dump=NAME") {
        assert!(
            loopgate::args::parse(words.iter().map(Into::into)).is_ok(),
            "loopgated does not take {words:?}"
        );
    }
}

#[test]
fn places_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let starts = ["src/", "tests/", "packaging", "units", "LICENSE", "packaging/"];
    let named: BTreeSet<String> = code()
        .iter()
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| starts.iter().any(|start| word.starts_with(start)))
        .collect();
    assert!(named.len() >= 12, "{named:?}");
    for place in named {
        assert!(root.join(&place).exists(), "there is no {place}");
    }
}

#[test]
fn what_make_run_prepares_is_where_the_readme_looks() {
    let serve = read("tests/serve");
    let makefile = read("Makefile");
    let value = |name: &str| {
        let line = makefile.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.rsplit(' ').next().unwrap().replace("$(CURDIR)/", "")
    };
    assert_eq!((value("RUN"), value("BINS")), ("target/run".to_owned(), "target/release".to_owned()));
    for (place, made) in [
        ("target/run/owner.sock", "$folder/owner.sock"),
        ("target/run/openclaw/openclaw.json", "$folder/openclaw/openclaw.json"),
    ] {
        assert!(code().iter().any(|line| line.contains(place)), "the README does not name {place}");
        assert!(serve.contains(made), "tests/serve does not make {made}");
    }
}

/// A newcomer reads the manual's names here; each is a page.
#[test]
fn pages_exist() {
    let readme = read("README.md");
    for page in ["loopgated(8)", "loopgate(1)", "loopgate.conf(5)", "loopgate-journal(7)"] {
        assert!(readme.contains(page), "{page}");
        let file = page.replace('(', ".").replace(')', "");
        assert!(read(&format!("packaging/man/{file}")).contains("\n.Dt LOOPGATE"), "{file}");
    }
}

#[test]
fn the_journal_is_quoted_as_it_is() {
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let (before, behind) = readme.split_once("REMEDY=\"").expect("a remedy is quoted");
    let name =
        before.rsplit_once("RULE=").and_then(|(_, rest)| rest.split(' ').next()).expect("with its rule");
    let remedy = Rule::named(name).expect("a rule of that name").remedy;
    assert_eq!(behind.split('"').next(), Some(remedy));
}
