//! Whether record files are sound, and the records of damaged ones.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use s3dlio_records::salvage::{Fault, Recovery};
use s3dlio_records::verify::{Report, verify};
use s3dlio_records::{Kind, Progress};

use crate::errors::Failure;
use crate::operation::{Operation, operation};
use crate::verbs::parse;

fn parsed(name: Option<&str>) -> PyResult<Option<Kind>> {
    Ok(name.map(Kind::parse).transpose().map_err(Failure::from)?)
}

/// Place, the begin and the end of what is lost, and what is wrong.
type Told = (Option<u64>, u64, u64, String);

fn told(faults: Vec<Fault>) -> Vec<Told> {
    faults.into_iter().map(|fault| (fault.offset, fault.lost.start, fault.lost.end, fault.detail)).collect()
}

/// Checks a file; an operation that gives what a report consists of.
#[pyfunction]
fn verify_file(uri: &str, kind: Option<&str>) -> PyResult<Operation> {
    let work = verify(&parse(uri)?, parsed(kind)?, Arc::new(Progress::default()));
    operation(work, |py, report: Report| {
        let Report { uri, kind, size, chunks, records, record_bytes, faults, num_faults } = report;
        let report = (uri.to_string(), kind.name(), size, chunks, records, record_bytes, num_faults, told(faults));
        Ok(report.into_pyobject(py)?.into_any().unbind())
    })
}

/// The records of a damaged file that are whole.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct SalvagedRecords(Recovery);

#[pymethods]
impl SalvagedRecords {
    /// Opens a file.
    #[staticmethod]
    fn open(uri: &str, kind: Option<&str>) -> PyResult<Operation> {
        let work = Recovery::open(&parse(uri)?, parsed(kind)?, Arc::new(Progress::default()));
        operation(work, |py, recovery| Ok(Py::new(py, Self(recovery))?.into_any()))
    }

    /// The next records; an empty list at the end.
    fn batch(&self) -> PyResult<Operation> {
        operation(self.0.batch(), |py, records| {
            let records = records.iter().map(|record| PyBytes::new(py, record));
            Ok(PyList::new(py, records)?.into_any().unbind())
        })
    }

    /// What was found to be wrong so far.
    fn faults(&self) -> Vec<Told> {
        told(self.0.faults())
    }

    /// How many things were.
    fn num_faults(&self) -> u64 {
        self.0.num_faults()
    }
}

/// Adds the class and the function to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SalvagedRecords>()?;
    module.add_function(wrap_pyfunction!(verify_file, module)?)
}
