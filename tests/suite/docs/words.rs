//! What the documents name exists: flags, variables, metrics, endpoints, commands, links.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use chat_room::cli;
use chat_room::config::{SETTINGS, env_name};
use chat_room::telemetry::names::metrics_table;
use regex_lite::Regex;

/// Flags of other programs in commands that are shown.
const FLAGS_OF_OTHERS: [&str; 7] = [
    "--release",
    "--data-binary",
    "--stream-arn",
    "--bench",
    "--only",
    "--reference",
    "--stop-timeout",
];

/// What the program serves.
const ENDPOINTS: [&str; 7] = [
    "/",
    "/chat-messages",
    "/websockets/chat-messages",
    "/metrics",
    "/livez",
    "/readyz",
    "/faults",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each document's path in the repository, and its text.
fn documents() -> Vec<(String, String)> {
    let mut names = vec!["README.md".to_owned(), "ARCHITECTURE.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).expect("docs") {
        let name = entry.expect("an entry").file_name();
        let name = name.into_string().expect("a name");
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "md")
        {
            names.push(format!("docs/{name}"));
        }
    }
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).expect("a document");
        (name, text)
    };
    names.into_iter().map(read).collect()
}

/// All that `pattern` finds, without repeats.
fn found(text: &str, pattern: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern
        .captures_iter(text)
        .map(|captures| captures[1].to_owned())
        .collect()
}

/// Asserts that all documents name only what is known.
fn only(what: &str, pattern: &str, is_known: impl Fn(&str) -> bool) {
    let mut number = 0;
    for (document, text) in documents() {
        let named = found(&text, pattern);
        number += named.len();
        let unknown: Vec<_> = named.iter().filter(|name| !is_known(name)).collect();
        assert!(
            unknown.is_empty(),
            "{document}: no such {what}: {unknown:?}"
        );
    }
    assert!(number > 0, "no {what} is named anywhere");
}

#[test]
fn flags_that_are_named_exist() {
    let command = cli::command();
    let mut known: HashSet<String> = HashSet::from(["--help", "--version"].map(str::to_owned));
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let flags = command.get_arguments().filter_map(|flag| flag.get_long());
        known.extend(flags.map(|flag| format!("--{flag}")));
    }
    // The load tool's: each field of its arguments is one.
    let tool = fs::read_to_string(root().join("benches/load/args.rs")).expect("its arguments");
    for field in found(&tool, r"(?m)^    pub\(crate\) ([a-z_]+):") {
        known.insert(format!("--{}", field.replace('_', "-")));
    }
    only("flag", r"(?:^|[\s`(\[])(--[a-z][a-z0-9-]*)", |flag| {
        known.contains(flag) || FLAGS_OF_OTHERS.contains(&flag)
    });
}

#[test]
fn variables_that_are_named_exist() {
    let known: HashSet<_> = SETTINGS
        .iter()
        .map(|setting| env_name(setting.key))
        .collect();
    only("variable", r"\b(CHAT_ROOM_[A-Z_]+[A-Z])\b", |name| {
        known.contains(name)
    });
}

#[test]
fn metrics_that_are_named_exist() {
    let table = metrics_table();
    only("metric", r"\b(chat_room_[a-z_]+[a-z])\b", |name| {
        table.contains(&format!("`{name}`"))
    });
}

#[test]
fn endpoints_that_are_named_exist() {
    let elsewhere = ["/etc/", "/var/", "/usr/", "/proc/"];
    only("endpoint", r"[`(](?:GET |POST )?(/[a-z/-]*)[`?]", |path| {
        ENDPOINTS.contains(&path) || elsewhere.iter().any(|folder| path.starts_with(folder))
    });
}

#[test]
fn commands_that_are_shown_are_understood() {
    let mut shown = 0;
    for (document, text) in documents() {
        for line in text.lines().filter(|line| line.starts_with("chat-room ")) {
            shown += 1;
            // Variables and abbreviations are for people.
            if let Err(error) = cli::parse(line.split_whitespace().map(Into::into)) {
                panic!("{document}: {line}: {error}");
            }
        }
    }
    assert!(shown > 2, "no command is shown anywhere");
}

/// A heading's address within its page.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Whether `link`, as it stands in `document`, leads to something.
fn leads_somewhere(document: &str, link: &str) -> bool {
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(document).parent().expect("a folder");
    let target = if file.is_empty() {
        root().join(document)
    } else {
        root().join(folder).join(file)
    };
    if place.is_empty() {
        return target.exists();
    }
    let text = fs::read_to_string(target).unwrap_or_default();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .any(|anchor| anchor == place)
}

#[test]
fn links_lead_somewhere() {
    for (document, text) in documents() {
        for link in found(&text, r"\]\(([^)\s]+)\)") {
            let is_outside = link.starts_with("http");
            assert!(
                is_outside || leads_somewhere(&document, &link),
                "{document}: {link}"
            );
        }
    }
    assert!(!leads_somewhere("docs/OPERATIONS.md", "#no-such-heading"));
    assert!(!leads_somewhere("docs/OPERATIONS.md", "NONE.md"));
}
