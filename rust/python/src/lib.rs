//! Python bindings of s3dlio: conversions and waiting, no logic.
//!
//! Verbs return an `operation::Operation` that Python either waits for or awaits.

mod array_record;
mod arrays;
mod buffer;
mod bulk;
mod bytes_view;
mod check;
mod checkpoint;
mod cli;
mod completions;
mod disky;
mod errors;
mod examples;
mod generate;
mod integrity;
mod listing;
mod loader;
mod logging;
mod npz;
mod objects;
mod operation;
mod oplog;
mod parquet;
mod paths;
mod process;
mod shards;
mod tfrecord;
mod transfer;
mod verbs;
mod writer;

use pyo3::prelude::*;

#[pymodule]
fn _s3dlio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    s3dlio_runtime::fork::install();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<bytes_view::BytesView>()?;
    module.add_class::<operation::Operation>()?;
    module.add_class::<operation::Progress>()?;
    module.add_class::<completions::Completions>()?;
    module.add_class::<listing::Listing>()?;
    module.add_class::<transfer::Transfer>()?;
    let first = [verbs::register, bulk::register, loader::register, process::register, writer::register];
    let then = [shards::register, oplog::register, logging::register, check::register, cli::register];
    let records = [array_record::register, disky::register, examples::register, npz::register, tfrecord::register];
    let rest = [checkpoint::register, generate::register, integrity::register, objects::register, parquet::register];
    first.into_iter().chain(then).chain(records).chain(rest).try_for_each(|register| register(module))
}
