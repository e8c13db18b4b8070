//! Row groups of Parquet files.

use pyo3::prelude::*;
use pyo3::types::PyList;
use s3dlio_records::parquet::generate::{self, Plan};
use s3dlio_records::parquet::{Column, Decode, File, footers, open_many};

use crate::errors::checked;
use crate::operation::{Operation, operation};
use crate::verbs::{none, parse, view};

/// A column as Python names it.
#[derive(FromPyObject)]
pub enum Wanted {
    Number(usize),
    Name(String),
}

/// Columns for the readers; all, if `None`.
pub fn columns(wanted: Option<Vec<Wanted>>) -> Option<Vec<Column>> {
    let column = |wanted| match wanted {
        Wanted::Number(number) => Column::Number(number),
        Wanted::Name(name) => Column::Name(name),
    };
    wanted.map(|wanted| wanted.into_iter().map(column).collect())
}

/// A file with its footer; `s3dlio.parquet` wraps it.
#[pyclass(frozen, module = "s3dlio._s3dlio")]
pub struct ParquetFile {
    file: File,
    columns: Option<Vec<usize>>,
}

#[pymethods]
impl ParquetFile {
    /// Opens files for some columns (all, if `None`), so many at a time; an operation that gives a list.
    #[staticmethod]
    #[pyo3(signature = (uris, wanted, footer_cap, in_flight))]
    fn open_many(
        uris: Vec<String>,
        wanted: Option<Vec<Wanted>>,
        footer_cap: u64,
        in_flight: usize,
    ) -> PyResult<Operation> {
        let uris = uris.iter().map(|uri| parse(uri)).collect::<PyResult<Vec<_>>>()?;
        let wanted = columns(wanted);
        operation(open_many(&uris, footer_cap, in_flight), move |py, files| {
            let open = |file: File| {
                let columns = wanted.as_deref().map(|wanted| checked(file.columns(wanted))).transpose()?;
                Py::new(py, Self { file, columns })
            };
            Ok(PyList::new(py, files.into_iter().map(open).collect::<PyResult<Vec<_>>>()?)?.into_any().unbind())
        })
    }

    /// First row of each row group, and behind the last one the number of rows.
    fn rows(&self) -> Vec<u64> {
        self.file.footer().rows().to_vec()
    }

    /// Offset and length of the columns of a row group.
    fn range(&self, group: usize) -> PyResult<(u64, u64)> {
        let range = checked(self.file.range(group, self.columns.as_deref()))?;
        Ok((range.start, range.end - range.start))
    }

    /// The row group that holds a row; of rows behind the end the last.
    fn group_of(&self, row: u64) -> usize {
        self.file.footer().group_of(row)
    }
}

/// A row group, or some columns of it; an operation that gives a `BytesView`.
#[pyfunction]
fn parquet_group(
    uri: &str,
    group: usize,
    wanted: Option<Vec<Wanted>>,
    footer_cap: u64,
    decode: &str,
) -> PyResult<Operation> {
    let decode = checked(Decode::parse(decode))?;
    operation(footers::group(&parse(uri)?, group, columns(wanted), footer_cap, decode), view)
}

/// First row of each row group, and the number of rows; an operation that gives a list.
#[pyfunction]
fn parquet_rows(uri: &str, footer_cap: u64) -> PyResult<Operation> {
    operation(footers::open(&parse(uri)?, footer_cap), |py, file| {
        Ok(PyList::new(py, file.footer().rows())?.into_any().unbind())
    })
}

/// Footers that this process keeps.
#[pyfunction]
fn parquet_footers() -> usize {
    footers::len()
}

/// Forgets the footer of a file, or all; whether there was one.
#[pyfunction]
fn parquet_forget(uri: Option<&str>) -> PyResult<bool> {
    let Some(uri) = uri else {
        let any = footers::len() > 0;
        footers::clear();
        return Ok(any);
    };
    Ok(footers::forget(&parse(uri)?))
}

/// A file of random numbers; an operation that gives its bytes.
#[pyfunction]
fn generate_parquet(columns: Vec<(String, usize)>, rows: usize, groups: usize, seed: u64) -> PyResult<Operation> {
    let work = generate::bytes(Plan { columns, rows, groups, seed });
    Ok(Operation::ending(work, |py, bytes| view(py, bytes.into())))
}

/// The same, written while it is made; an operation.
#[pyfunction]
fn write_parquet(
    uri: &str,
    columns: Vec<(String, usize)>,
    rows: usize,
    groups: usize,
    seed: u64,
) -> PyResult<Operation> {
    let work = checked(generate::write(&parse(uri)?, Plan { columns, rows, groups, seed }))?;
    Ok(Operation::ending(work, none))
}

/// Adds the functions and the class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ParquetFile>()?;
    module.add_function(wrap_pyfunction!(parquet_group, module)?)?;
    module.add_function(wrap_pyfunction!(parquet_rows, module)?)?;
    module.add_function(wrap_pyfunction!(parquet_footers, module)?)?;
    module.add_function(wrap_pyfunction!(parquet_forget, module)?)?;
    module.add_function(wrap_pyfunction!(generate_parquet, module)?)?;
    module.add_function(wrap_pyfunction!(write_parquet, module)?)
}
