//! Copies between stores, with a look at how far they are.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use s3dlio_store::pattern::Pattern;
use s3dlio_store::transfer::{self, Depth, Existing, Options, Progress, Source, Summary};
use s3dlio_store::{Uri, Work};

use crate::errors::{Failure, internal};
use crate::operation::{self, Operation};

type Figures = (u64, u64, u64, f64);

fn figures(done: Summary) -> Figures {
    (done.objects, done.bytes, done.skipped, done.took.as_secs_f64())
}

/// One transfer; runs once.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct Transfer {
    work: Mutex<Option<Work<Summary>>>,
    progress: Arc<Progress>,
}

#[pymethods]
impl Transfer {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "the keyword arguments of the Python side")]
    #[pyo3(signature = (sources, dest, *, local_sources, local_dest, recursive, glob, regex, max_in_flight, resume,
                        overwrite, into_directory))]
    #[expect(clippy::too_many_arguments, reason = "the options of one call")]
    fn new(
        sources: Vec<String>,
        dest: &str,
        local_sources: bool,
        local_dest: bool,
        recursive: bool,
        glob: Option<&str>,
        regex: Option<&str>,
        max_in_flight: usize,
        resume: bool,
        overwrite: bool,
        into_directory: bool,
    ) -> PyResult<Self> {
        let parse = |text: &String| if local_sources { Source::parse(text) } else { Uri::parse(text).map(Source::Uri) };
        let sources = sources.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(Failure::from)?;
        let dest = if local_dest { transfer::destination(dest) } else { Uri::parse(dest) }.map_err(Failure::from)?;
        let pattern = glob.map(Pattern::glob).or(regex.map(Pattern::regex)).transpose().map_err(Failure::from)?;
        let options = Options {
            depth: if recursive { Depth::All } else { Depth::Level },
            pattern,
            in_flight: max_in_flight,
            resume,
            existing: if overwrite { Existing::Replace } else { Existing::Refuse },
            into_directory,
        };
        let progress = Arc::new(Progress::default());
        let work = transfer::transfer(&sources, &dest, options, Arc::clone(&progress)).map_err(Failure::from)?;
        Ok(Self { work: Mutex::new(Some(work)), progress })
    }

    /// (objects, all objects, bytes, all bytes).
    fn progress(&self) -> (u64, u64, u64, u64) {
        let now = &self.progress;
        (now.objects(), now.objects_total(), now.bytes(), now.bytes_total())
    }

    /// The transfer as an operation to await.
    fn operation(&self) -> PyResult<Operation> {
        Ok(Operation::new(self.take()?, |py, done| Ok(figures(done).into_pyobject(py)?.into_any().unbind())))
    }

    /// Runs the transfer to its end; `report`, if there is one, is called from time to time, and its error ends it.
    #[pyo3(signature = (report = None))]
    fn wait(&self, py: Python<'_>, report: Option<&Bound<'_, PyAny>>) -> PyResult<Figures> {
        let tell = |_: Python<'_>| report.map_or(Ok(()), |report| report.call1(self.progress()).map(drop));
        let done = operation::drive(py, self.take()?.into_future(), tell)?.map_err(Failure::from)?;
        tell(py)?;
        Ok(figures(done))
    }
}

impl Transfer {
    fn take(&self) -> PyResult<Work<Summary>> {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        work.ok_or_else(|| internal("a transfer runs only once"))
    }
}
