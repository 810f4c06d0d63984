//! The bar that shows how far a run is.

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) fn bar(length: u64, message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} % {elapsed:>4}  {msg}") {
        bar.set_style(style);
    }
    bar
}
