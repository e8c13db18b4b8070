//! Python bindings of s3dlio: conversions and waiting, no logic.
//!
//! Verbs return an [`operation::Operation`] that Python either waits for or awaits.

mod arrays;
mod buffer;
mod bytes_view;
mod cli;
mod completions;
mod errors;
mod loader;
mod objects;
mod operation;
mod process;
mod transfer;
mod verbs;

use pyo3::prelude::*;

#[pymodule]
fn _s3dlio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    s3dlio_runtime::fork::install();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<bytes_view::BytesView>()?;
    module.add_class::<operation::Operation>()?;
    module.add_class::<completions::Completions>()?;
    module.add_class::<verbs::Listing>()?;
    module.add_class::<objects::Objects>()?;
    module.add_class::<loader::Loader>()?;
    module.add_class::<loader::BatchIter>()?;
    module.add_class::<transfer::Transfer>()?;
    verbs::register(module)?;
    arrays::register(module)?;
    loader::register(module)?;
    cli::register(module)?;
    process::register(module)
}
