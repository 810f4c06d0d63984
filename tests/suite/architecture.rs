//! Imports run one way, along a message's flow. This reads the sources and holds them to it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What each module may use, beside itself. `telemetry` may be used by all; who is not listed is where all is wired.
const DIRECTION: [(&str, &[&str]); 11] = [
    ("message", &[]),
    ("telemetry", &["message"]),
    ("kinesis", &["message"]),
    ("producer", &["kinesis", "message"]),
    ("log", &["message"]),
    ("consumer", &["kinesis", "log", "message"]),
    ("fanout", &["log", "message"]),
    ("connection", &["fanout", "log", "message"]),
    (
        "http",
        &["producer", "connection", "fanout", "log", "message", "tls"],
    ),
    ("embedded", &["tls"]),
    ("tls", &[]),
];

/// The modules that wire the others and may use all of them, and be used by none of them.
const WIRING: [&str; 5] = ["app", "config", "cli", "main", "lib"];

/// A piece of source that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Sign(char),
}

#[test]
fn imports_run_along_the_flow() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    gather(&source, &mut files);
    let tops: Vec<_> = files.iter().filter_map(|file| top(&source, file)).collect();
    assert!(
        tops.iter().any(|top| top == "log"),
        "the sources are where they are looked for: {tops:?}"
    );
    let for_tests: Vec<_> = files
        .iter()
        .flat_map(|file| {
            test_modules(&tokens(&read(file)))
                .into_iter()
                .map(move |name| beside(file, &name))
        })
        .collect();
    let mut violations = String::new();
    for file in &files {
        let Some(module) = top(&source, file) else {
            continue;
        };
        // A module that exists only for tests may use the wire of another stage.
        if for_tests
            .iter()
            .any(|stem| file.with_extension("") == *stem || file.starts_with(stem))
        {
            continue;
        }
        let depth = depth(&source, file);
        for target in forbidden(&module, depth, &read(file), &tops) {
            writeln!(
                violations,
                "{}: {module} must not use {target}",
                file.display()
            )
            .unwrap();
        }
    }
    assert!(
        violations.is_empty(),
        "imports against the direction of the flow:\n{violations}"
    );
}

/// The top-level modules that `source`, a file of `module` that is `depth` modules below the root, uses and may not.
fn forbidden(module: &str, depth: usize, source: &str, tops: &[String]) -> Vec<String> {
    if WIRING.contains(&module) {
        return Vec::new();
    }
    let rule = DIRECTION.iter().find(|(name, _)| *name == module);
    let allowed = rule
        .unwrap_or_else(|| panic!("DIRECTION has no line for the module {module}"))
        .1;
    let mut found = used(&without_tests(&tokens(source)), depth);
    found.sort();
    found.dedup();
    found.retain(|target| {
        tops.contains(target)
            && target != module
            && target != "telemetry"
            && !allowed.contains(&target.as_str())
    });
    found
}

/// The names that are taken from the root of the crate: after `crate::`, or after enough `super::` to reach it.
fn used(tokens: &[Token], depth: usize) -> Vec<String> {
    let word = |index: usize| match tokens.get(index) {
        Some(Token::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    let path_sign = |index| {
        tokens.get(index) == Some(&Token::Sign(':'))
            && tokens.get(index + 1) == Some(&Token::Sign(':'))
    };
    let mut names = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let after = match word(index) {
            Some("crate" | "chat_room") if path_sign(index + 1) => Some(index + 3),
            Some("super") => {
                let mut supers = 0;
                let mut next = index;
                while word(next) == Some("super") && path_sign(next + 1) {
                    supers += 1;
                    next += 3;
                }
                index = next.max(index + 1) - 1;
                (supers >= depth).then_some(next)
            }
            _ => None,
        };
        if let Some(after) = after {
            names.extend(heads(&tokens[after.min(tokens.len())..]));
        }
        index += 1;
    }
    names
}

/// The first names of a path, or of each path of a `{…}` group.
fn heads(tokens: &[Token]) -> Vec<String> {
    match tokens.first() {
        Some(Token::Word(word)) => vec![word.clone()],
        Some(Token::Sign('{')) => {
            let mut names = Vec::new();
            let mut depth = 0;
            let mut at_head = false;
            for token in tokens {
                match token {
                    Token::Sign('{') => {
                        depth += 1;
                        at_head = depth == 1;
                    }
                    Token::Sign('}') => {
                        depth -= 1;
                        if depth == 0 {
                            break;
                        }
                    }
                    Token::Sign(',') => at_head = depth == 1,
                    Token::Word(word) if at_head => {
                        names.push(word.clone());
                        at_head = false;
                    }
                    _ => {}
                }
            }
            names
        }
        _ => Vec::new(),
    }
}

/// Words and signs, without comments, texts and characters.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_block_comment(rest);
        } else if let Some(after) = after_raw_text(rest) {
            rest = after;
        } else if first == '"' {
            rest = after_quoted(rest, '"');
        } else if first == '\'' {
            rest = after_character_or_lifetime(rest);
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|next: char| !next.is_alphanumeric() && next != '_')
                .unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

fn after_block_comment(source: &str) -> &str {
    let mut depth = 0_usize;
    let mut index = 0;
    while index < source.len() {
        let here = &source[index..];
        if here.starts_with("/*") {
            depth += 1;
            index += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            index += 2;
            if depth == 0 {
                return &source[index..];
            }
        } else {
            index += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    ""
}

/// What follows a raw text such as `r#"…"#`, if one begins here.
fn after_raw_text(source: &str) -> Option<&str> {
    let start = source
        .strip_prefix("br")
        .or_else(|| source.strip_prefix('r'))?;
    let hashes = start.len() - start.trim_start_matches('#').len();
    let text = start[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        text.find(&end)
            .map_or("", |index| &text[index + end.len()..]),
    )
}

fn after_quoted(source: &str, quote: char) -> &str {
    let mut escaped = false;
    for (index, character) in source.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return &source[index + quote.len_utf8()..],
            _ => {}
        }
    }
    ""
}

fn after_character_or_lifetime(source: &str) -> &str {
    let mut characters = source.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => after_quoted(source, '\''),
        _ => &source[1..],
    }
}

/// Whether `#[cfg(test)]` (or `cfg(all(test, …))`) begins at `index`; gives where it ends.
fn test_attribute(tokens: &[Token], index: usize) -> Option<usize> {
    let is = |offset: usize, wanted: &str| matches!(tokens.get(index + offset), Some(Token::Word(word)) if word == wanted);
    if tokens.get(index) != Some(&Token::Sign('#'))
        || tokens.get(index + 1) != Some(&Token::Sign('['))
        || !is(2, "cfg")
    {
        return None;
    }
    let end = index
        + tokens[index..]
            .iter()
            .position(|token| *token == Token::Sign(']'))?;
    let inside = &tokens[index..end];
    let has = |wanted: &str| inside.contains(&Token::Word(wanted.to_owned()));
    (has("test") && !has("not") && !has("any")).then_some(end + 1)
}

/// The tokens without the items that are for tests only.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let Some(item) = test_attribute(tokens, index) else {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        };
        // An item ends with its block, or with a semicolon before any.
        let mut depth = 0_usize;
        index = item;
        while index < tokens.len() {
            let token = &tokens[index];
            index += 1;
            match token {
                Token::Sign('{') => depth += 1,
                Token::Sign('}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                Token::Sign(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// The names of the modules in files of their own that are for tests only.
fn test_modules(tokens: &[Token]) -> Vec<String> {
    let mut names = Vec::new();
    for index in 0..tokens.len() {
        let Some(item) = test_attribute(tokens, index) else {
            continue;
        };
        let rest = &tokens[item..];
        let Some(keyword) = rest
            .iter()
            .position(|token| *token == Token::Word("mod".to_owned()))
        else {
            continue;
        };
        if let (Some(Token::Word(name)), Some(Token::Sign(';'))) =
            (rest.get(keyword + 1), rest.get(keyword + 2))
        {
            // Nothing but a visibility stands before `mod`.
            if rest[..keyword]
                .iter()
                .all(|token| !matches!(token, Token::Sign('{' | ';' | '#')))
            {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Where the module `name` that `file` declares is, without an extension.
fn beside(file: &Path, name: &str) -> PathBuf {
    let folder = file.parent().expect("a file is in a folder");
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("mod" | "lib" | "main") | None => folder.join(name),
        Some(stem) => folder.join(stem).join(name),
    }
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder)
        .expect("a folder of sources")
        .map(|entry| entry.expect("an entry").path())
    {
        if entry.is_dir() {
            gather(&entry, files);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The top-level module that `file` belongs to.
fn top(source: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(source).ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).with_extension("");
    name.to_str().map(str::to_owned)
}

/// How many modules below the root `file` is: 1 for `log/mod.rs` and `log.rs`, 2 for `log/chain.rs`.
fn depth(source: &Path, file: &Path) -> usize {
    let parts = file
        .strip_prefix(source)
        .expect("a file of the sources")
        .components()
        .count();
    if file.ends_with("mod.rs") {
        parts - 1
    } else {
        parts
    }
}

/// What [`forbidden`] finds in `source`, as a file of `module` that is 2 modules below the root.
fn found(module: &str, source: &str) -> Vec<String> {
    let tops = DIRECTION.iter().map(|(name, _)| *name).chain(WIRING);
    forbidden(
        module,
        2,
        source,
        &tops.map(str::to_owned).collect::<Vec<_>>(),
    )
}

#[test]
fn an_import_against_the_flow_is_found() {
    assert_eq!(
        found("log", "use crate::connection::Socket;"),
        ["connection"]
    );
    assert_eq!(found("log", "use crate::{message::Room, http};"), ["http"]);
    assert_eq!(
        found(
            "consumer",
            "use crate::{\n    log::{Log, Shard},\n    fanout::{Worker, join},\n    http,\n};"
        ),
        ["fanout", "http"]
    );
    assert_eq!(
        found("embedded", "fn f() -> crate::message::Room { todo!() }"),
        ["message"]
    );
    assert_eq!(
        found("kinesis", "use super::super::embedded::Service;"),
        ["embedded"]
    );
    assert_eq!(
        found("fanout", "fn f(kinesis: crate :: kinesis :: Kinesis) {}"),
        ["kinesis"]
    );
    assert_eq!(
        found("producer", "use crate::config::Settings;"),
        ["config"]
    );
    assert_eq!(
        found("message", "use crate::log::Log; use crate::log::Frame;"),
        ["log"]
    );
    assert_eq!(
        found(
            "log",
            "const C: char = '\"'; use crate::http::Edge; const D: char = '\"';"
        ),
        ["http"]
    );
    assert_eq!(
        found("log", "fn f<'a>(x: &'a str) { crate::http::g(x) }"),
        ["http"]
    );
    assert_eq!(
        found("log", "#[cfg(not(test))] use crate::http::Edge;"),
        ["http"]
    );
}

#[test]
fn an_import_along_the_flow_is_not_found() {
    let nothing: [&str; 0] = [];
    assert_eq!(
        found(
            "consumer",
            "use crate::{kinesis::Kinesis, log::Log, message::{Room, http}};"
        ),
        nothing
    );
    assert_eq!(found("http", "use crate::producer::Publisher;"), nothing);
    assert_eq!(
        found("app", "use crate::{embedded, http, config};"),
        nothing
    );
    assert_eq!(found("embedded", "use crate::telemetry::names;"), nothing);
    assert_eq!(
        found(
            "log",
            "use crate::log::chain::Chain; use super::chain::Chain; use super::http_date;"
        ),
        nothing
    );
}

/// Source with texts that look like imports.
const TEXTS: &str = "const A: &str = \"crate::http\"; const B: &str = r#\"a \"crate::http\"\"#;";

#[test]
fn comments_texts_and_tests_are_not_imports() {
    let nothing: [&str; 0] = [];
    assert_eq!(
        found(
            "log",
            "//! See [`crate::http`].\n/* crate::http /* crate::fanout */ crate::http */"
        ),
        nothing
    );
    assert_eq!(found("log", TEXTS), nothing);
    assert_eq!(
        found(
            "producer",
            "#[cfg(test)]\nmod tests {\n    use crate::embedded::Service;\n}\n"
        ),
        nothing
    );
    assert_eq!(
        found(
            "producer",
            "#[cfg(test)]\nuse crate::embedded::Service;\nfn f() {}\n"
        ),
        nothing
    );
    let after = "#[cfg(test)]\nmod tests { fn f() { {} } }\nuse crate::embedded::Service;";
    assert_eq!(found("producer", after), ["embedded"]);
    assert_eq!(
        test_modules(&tokens(
            "#[cfg(test)]\nmod tests;\nmod lane;\n#[cfg(test)] mod inline {}"
        )),
        ["tests"]
    );
}
