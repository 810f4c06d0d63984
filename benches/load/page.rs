//! The report: one page that needs nothing beside it, and each chart as a file too.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::chart::{STYLE, escaped, file};
use crate::charts;
use crate::outcome::Outcome;

const PAGE_STYLE: &str = "
:root { color-scheme: light dark; --back: #fff; --text: #1f2328; --quiet: #59636e; --edge: #d8dee4; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --quiet: #9198a1; --edge: #373e47; } }
body { margin: 0 auto; max-width: 1180px; padding: 24px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 40px 0 12px; }
p, code { color: var(--quiet); overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; }
.charts > * { border: 1px solid var(--edge); border-radius: 8px; padding: 8px; margin: 0; }
svg.chart { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td, th { padding: 3px 8px; border-bottom: 1px solid var(--edge); text-align: right; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; font-weight: 400; }
.figures { columns: 2 440px; column-gap: 32px; } .figures tr { break-inside: avoid; }
pre { overflow-x: auto; }
";

/// A page under way.
pub(crate) struct Page {
    body: String,
    /// Name and content of each chart.
    files: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        let command: Vec<String> = std::env::args()
            .skip(1)
            .filter(|arg| arg != "--bench")
            .collect();
        let mut body = String::new();
        let _ = write!(
            body,
            "<h1>{}</h1>\n<p>{}<br><code>cargo bench --bench load -- {}</code></p>\n",
            escaped(title),
            escaped(&machine()),
            escaped(&command.join(" "))
        );
        Self {
            body,
            files: Vec::new(),
        }
    }

    /// Adds a text of fixed columns.
    pub(crate) fn add_text(&mut self, text: &str) {
        let _ = writeln!(self.body, "<pre>{}</pre>", escaped(text));
    }

    /// Adds charts side by side, each under the name of its file.
    pub(crate) fn add_charts(&mut self, charts: impl IntoIterator<Item = (String, String)>) {
        self.body.push_str("<div class=\"charts\">\n");
        for (name, svg) in charts {
            let _ = writeln!(self.body, "<figure>{svg}</figure>");
            self.files.push((name, file(&svg)));
        }
        self.body.push_str("</div>\n");
    }

    /// Adds a run: its charts and all its figures.
    pub(crate) fn add_run(&mut self, outcome: &Outcome) {
        let number = self.files.len();
        let _ = writeln!(self.body, "<h2>{}</h2>", escaped(&outcome.title()));
        let charts = charts::of_run(outcome);
        self.add_charts(charts.into_iter().map(|(name, svg)| {
            let name = if number == 0 {
                name.to_owned()
            } else {
                format!("{name}-{number}")
            };
            (name, svg)
        }));
        self.body
            .push_str("<h2>Figures</h2>\n<div class=\"figures\"><table>\n");
        for (name, value) in outcome.rows() {
            let _ = writeln!(
                self.body,
                "<tr><td>{}</td><td>{}</td></tr>",
                escaped(&name),
                escaped(&value)
            );
        }
        self.body.push_str("</table></div>\n");
    }

    /// Writes `index.html` and the charts into a folder, which is made if it is not there.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder)?;
        for (name, svg) in &self.files {
            fs::write(folder.join(name).with_extension("svg"), svg)?;
        }
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Load on a chat room</title>\n<style>{PAGE_STYLE}{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
            self.body
        );
        fs::write(folder.join("index.html"), html)?;
        Ok(())
    }
}

/// Processor, cores, system, and when.
pub(crate) fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| Some(line.split_once(':')?.1.trim()));
    // All of the machine's: this thread may be kept to some of them.
    let cores = cpus
        .lines()
        .filter(|line| line.starts_with("processor\t"))
        .count();
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = std::time::SystemTime::now();
    let seconds = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let now = std::time::UNIX_EPOCH + Duration::from_secs(seconds.as_secs());
    format!(
        "{}, {}; {cores} cores, Linux {}",
        humantime::format_rfc3339(now),
        model.unwrap_or("an unknown processor"),
        system.trim()
    )
}
