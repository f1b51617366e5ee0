//! The source as text, for what is a name in the code and a row in no table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::page::read;

/// Every file below a folder of `src` (or one file), without its tests and comments.
pub(crate) fn code(place: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    if root.is_file() {
        return without_tests(&read(place));
    }
    let mut paths: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| format!("{place}/{}", path.file_name().unwrap().to_string_lossy());
    let files = paths.iter().filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "rs"));
    files.map(|path| code(&name(path))).collect()
}

/// Every string literal of `code` that consists of letters that `fits` takes.
pub(crate) fn literals(code: &str, fits: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let parts = code.split('"').filter(|part| fits(part));
    parts.map(str::to_owned).collect()
}

/// The first literal of each call of `name`, as in `name("literal", …)`.
pub(crate) fn first_arguments(code: &str, name: &str) -> BTreeSet<String> {
    let open = format!("{name}(");
    let calls = code.split(&open).skip(1);
    let first = |call: &str| Some(call.trim_start().strip_prefix('"')?.split_once('"')?.0.to_owned());
    calls.filter_map(first).collect()
}

fn without_tests(text: &str) -> String {
    let code = text.split("\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[test]
fn calls_and_literals_are_found() {
    let code = "f(\"a-b\", 1); f(\n    \"c\"); g(\"HOME\"); f(x, \"d\")";
    assert_eq!(Vec::from_iter(first_arguments(code, "f")), ["a-b", "c"]);
    assert_eq!(Vec::from_iter(literals(code, |text| text == "HOME")), ["HOME"]);
}
