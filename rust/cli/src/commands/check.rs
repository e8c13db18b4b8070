//! `check`: why a store can or cannot be used.

use clap::Args;
use s3dlio_store::check::{self, Report};
use serde_json::json;

use crate::exit::{Failure, code};
use crate::session::Session;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// What to look at
    #[arg(value_name = "URI")]
    uri: String,

    /// Also write a small object below the URI, and remove it again
    #[arg(short, long)]
    write: bool,
}

impl Check {
    /// Runs the command; a step that is not as it should be is a failure.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let report = session.wait(Ok(check::check(&self.uri, self.write)))?;
        session.say(|| text(&report), || document(&report))?;
        if report.ok() { Ok(()) } else { Err(Failure::Reported(code::FAILURE)) }
    }
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for step in &report.steps {
        let mark = match step.ok {
            Some(true) => "ok",
            Some(false) => "FAILED",
            None => "-",
        };
        lines.push(format!("{mark:<7} {:<20} {}", step.name, step.detail));
        if !step.advice.is_empty() {
            lines.push(format!("{:<28} -> {}", "", step.advice));
        }
    }
    lines.join("\n")
}

fn document(report: &Report) -> serde_json::Value {
    let steps = report.steps.iter().map(|step| {
        json!({
            "name": step.name, "ok": step.ok, "detail": step.detail, "advice": step.advice, "seconds": step.seconds,
        })
    });
    json!({"uri": report.uri, "ok": report.ok(), "steps": steps.collect::<Vec<_>>()})
}
