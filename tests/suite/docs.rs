//! The README's generated tables are those of the code (`make docs` writes them anew), and what the documents name exists.

mod words;

use std::path::Path;
use std::{env, fs};

use chat_room::config::settings_table;
use chat_room::embedded::operation_lists;
use chat_room::telemetry::names::metrics_table;

/// The text with `table` between the two markers called `name`.
fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let (open, close) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open)?;
    let (_, after) = rest.split_once(&close)?;
    Some(format!("{before}{open}\n{table}{close}{after}"))
}

#[test]
fn docs_have_the_tables_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(&path).expect("README.md");
    let mut wanted = text.clone();
    for (name, table) in [
        ("settings", settings_table()),
        ("metrics", metrics_table()),
        ("operations", operation_lists()),
    ] {
        wanted = with_table(&wanted, name, &table).unwrap_or_else(|| {
            panic!("README.md lacks the markers <!-- {name} --> … <!-- /{name} -->")
        });
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, wanted).expect("README.md can be written");
    } else {
        assert!(wanted == text, "README.md is stale; run: make docs");
    }
}
