//! Progress bars over record files and checkpoints.

use indicatif::{ProgressBar, ProgressStyle};
use s3dlio_records::Progress;

/// A bar, drawn where standard error is a terminal.
pub fn bar(hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let template = "{wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}";
    // The style of the library's own choice is good enough where this one cannot be read.
    ProgressStyle::with_template(template).map_or(bar.clone(), |style| bar.with_style(style))
}

/// Shows how far the work has come.
pub fn draw(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.total());
    bar.set_position(progress.bytes());
    if progress.records() > 0 {
        bar.set_message(format!("{} records", progress.records()));
    }
}
