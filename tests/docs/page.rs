//! A manual page as a test reads it: sections, and the items of the lists in them.

use std::fs;
use std::path::Path;

/// One page in mdoc(7).
pub(crate) struct Page {
    name: String,
    text: String,
}

/// One item of a list.
#[derive(Debug)]
pub(crate) struct Item {
    /// What is explained, as it is shown.
    pub(crate) head: String,
    /// The explanation, as it is shown, in one line.
    pub(crate) body: String,
}

impl Page {
    /// The page of this name in `packaging/man`.
    pub(crate) fn read(name: &str) -> Self {
        Self { name: name.to_owned(), text: read(&format!("packaging/man/{name}")) }
    }

    /// The lines of a section, or of a subsection.
    fn section(&self, title: &str) -> impl Iterator<Item = &str> {
        let begins = |line: &str| line == format!(".Sh {title}") || line == format!(".Ss {title}");
        let begin = self.text.lines().position(begins);
        let begin = begin.unwrap_or_else(|| panic!("{} has no section {title}", self.name));
        let lines = self.text.lines().skip(begin + 1);
        lines.take_while(|line| !line.starts_with(".Sh ") && !line.starts_with(".Ss "))
    }

    /// The items of all lists in a section.
    pub(crate) fn items(&self, title: &str) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut inside = false;
        for line in self.section(title) {
            if let Some(head) = line.strip_prefix(".It") {
                inside = true;
                items.push(Item { head: shown(&format!(".{}", head.trim())), body: String::new() });
            } else if line.starts_with(".El") {
                inside = false;
            } else if let Some(item) = items.last_mut().filter(|_| inside) {
                let text = shown(line);
                if !text.is_empty() {
                    if !item.body.is_empty() {
                        item.body.push(' ');
                    }
                    item.body.push_str(&text);
                }
            }
        }
        assert!(!items.is_empty(), "{}: {title} has no items", self.name);
        items
    }

    /// The heads of [`Page::items`].
    pub(crate) fn heads(&self, title: &str) -> Vec<String> {
        self.items(title).into_iter().map(|item| item.head).collect()
    }

    /// A section as it is shown, in one line.
    pub(crate) fn prose(&self, title: &str) -> String {
        self.section(title).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// The whole page as it is shown, in one line.
    pub(crate) fn whole(&self) -> String {
        self.text.lines().filter(|line| !line.starts_with(".\\\"")).map(shown).collect::<Vec<_>>().join(" ")
    }

    /// The text between `.Bd` and `.Ed`, as it is shown, in the order of the page.
    pub(crate) fn displays(&self) -> Vec<String> {
        let parts = self.text.split("\n.Bd ").skip(1);
        let display = |part: &str| {
            let (_, rest) = part.split_once('\n').unwrap();
            rest.split_once("\n.Ed").unwrap().0.replace("\\e", "\\")
        };
        parts.map(display).collect()
    }
}

impl Item {
    /// Fails unless the explanation has `text` in it, whatever the case of its letters.
    pub(crate) fn says(&self, text: &str) {
        let has = self.body.to_lowercase().contains(&text.to_lowercase());
        assert!(has, "{}: the manual lacks {text:?} and has {:?}", self.head, self.body);
    }
}

/// A file of the project.
pub(crate) fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A line of mdoc without its macros. `Ns` and punctuation stick to the word before, `Pq` makes parentheses.
fn shown(line: &str) -> String {
    let Some(call) = line.strip_prefix('.') else { return plain(line) };
    let words = split(call);
    let Some(first) = words.first() else { return String::new() };
    match (first.as_str(), words.get(1..).unwrap_or_default()) {
        ("Pp" | "Bl" | "El" | "Bd" | "Ed" | "br" | "Sh" | "Ss", _) => String::new(),
        ("Xr", [name, section, rest @ ..]) => join(&[&[format!("{name}({section})")], rest].concat()),
        ("Nm", []) => "loopgated".to_owned(),
        _ => join(&words),
    }
}

fn join(words: &[String]) -> String {
    let mut text = String::new();
    let (mut glued, mut closing) = (false, "");
    for word in words {
        match word.as_str() {
            "Ns" => glued = true,
            "Pq" => closing = ")",
            "Op" | "Oo" | "Oc" => {}
            macro_name if MACROS.contains(&macro_name) => {
                // `Fl` twice is a long option; once it makes the dash of the word behind it.
                if macro_name == "Fl" {
                    let gap = if text.is_empty() || text.ends_with('-') || glued { "" } else { " " };
                    text.push_str(gap);
                    text.push('-');
                    glued = true;
                }
            }
            word => {
                let sticks = glued || text.is_empty() || [",", ".", ";", ":"].contains(&word);
                let open = if closing == ")" && !text.contains('(') { "(" } else { "" };
                text.push_str(if sticks { "" } else { " " });
                text.push_str(open);
                text.push_str(&plain(word));
                glued = false;
            }
        }
    }
    text + closing
}

/// Words, those in double quotes as one.
fn split(call: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in call.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

fn plain(text: &str) -> String {
    text.replace("\\&", "").replace("\\e", "\\").trim().to_owned()
}

const MACROS: &[&str] =
    &["Ar", "Cm", "Dq", "Dv", "Em", "Ev", "Fl", "Ic", "Li", "Nm", "Pa", "Ql", "Sq", "Sx", "Sy", "Va", "Xr"];

#[test]
fn a_line_is_read_as_it_is_shown() {
    for (line, want) in [
        (".Fl Fl config Ns = Ns Ar file", "--config=file"),
        (".Fl h , Fl Fl help", "-h, --help"),
        (".Sy host-foreign Pq refuse at upgrade", "host-foreign (refuse at upgrade)"),
        (".Xr loopgate 1 .", "loopgate(1)."),
        (".Cm devices approve Oo Ar request Oc Op Fl Fl latest", "devices approve request --latest"),
        (".Sy \"a scope decision: denied\"", "a scope decision: denied"),
        ("plain words, as they are", "plain words, as they are"),
        (".Va MESSAGE_ID Ns = Ns Li 12 ,", "MESSAGE_ID=12,"),
    ] {
        assert_eq!(shown(line), want, "{line}");
    }
}
