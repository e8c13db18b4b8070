//! Which steps stay.

use std::collections::BTreeSet;

use s3dlio_store::{Uri, Work};
use serde_json::Value;

use crate::base::Base;
use crate::error::{CheckpointError, Result};
use crate::format::FormatError;
use crate::layout;
use crate::manifest::Manifest;
use crate::open;
use crate::task;

/// What a step stays for; each is a reason by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// It is one of so many newest.
    pub last: Option<usize>,
    /// It is a multiple of this number, which is not 0.
    pub every: Option<u64>,
    /// It is one of so many whose metric is the largest; `-loss` means the smallest.
    pub best: Option<(String, usize)>,
}

impl Keep {
    /// Whether nothing is said, which keeps everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// The metrics of a checkpoint.
///
/// # Errors
/// Text that is no JSON.
pub fn metrics(manifest: &Manifest) -> std::result::Result<Value, FormatError> {
    if manifest.metrics.is_empty() {
        return Ok(Value::Null);
    }
    // Python writes what JSON has no words for: a loss that is no number is none, and an infinite one the largest.
    let text = manifest.metrics.replace(": NaN", ": null").replace(": Infinity", ": 1.7976931348623157e308");
    let text = text.replace(": -Infinity", ": -1.7976931348623157e308");
    serde_json::from_str(&text).map_err(|error| FormatError(format!("the metrics of the checkpoint: {error}")))
}

/// The committed steps that stay for no reason; none if nothing is said.
///
/// # Errors
/// At once: a URI or settings that cannot work. From the work: those of the store, damaged bytes, and a metric that no step
/// has ([`CheckpointError::Invalid`]): it would be taken for the wish to keep none.
pub fn unwanted(uri: &Uri, keep: Keep) -> Result<Work<Result<BTreeSet<u64>>>> {
    let steps = open::steps(uri)?;
    let (base, uri) = (Base::open(uri)?, uri.clone());
    Ok(task::work(async move {
        let steps = steps.into_future().await??;
        if keep.is_all() {
            return Ok(BTreeSet::new());
        }
        let mut unwanted: BTreeSet<u64> = steps.iter().copied().collect();
        for step in steps.iter().rev().take(keep.last.unwrap_or(0)) {
            unwanted.remove(step);
        }
        if let Some(every) = keep.every {
            unwanted.retain(|step| every == 0 || step % every != 0);
        }
        if let Some((metric, number)) = keep.best {
            // The best comes first.
            let (name, sign) = metric.strip_prefix('-').map_or((metric.as_str(), -1.0), |name| (name, 1.0));
            let mut ranked = Vec::new();
            for step in &steps {
                let manifest = open::at_step(base.clone(), *step).await?.manifest;
                let metrics = metrics(&manifest).map_err(|error| error.at(base.at(&layout::commit(*step))))?;
                let figure = metrics.get(name).and_then(Value::as_f64);
                ranked.extend(figure.map(|figure| (sign * figure, *step)));
            }
            if ranked.is_empty() && !steps.is_empty() {
                let detail =
                    format!("keep_best: found no step with a number for the metric `{name}`, expected one at least");
                return Err(CheckpointError::invalid(&uri, detail));
            }
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            for (_, step) in ranked.into_iter().take(number) {
                unwanted.remove(&step);
            }
        }
        Ok(unwanted)
    }))
}
