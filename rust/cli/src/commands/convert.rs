//! `convert`: from one format to another.

use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use indicatif::BinaryBytes;
use s3dlio_formats::npz::Limits;
use s3dlio_records::convert::{Converted, convert};
use s3dlio_records::disky::OnDamage;
use s3dlio_records::kind::detect;
use s3dlio_records::{Kind, Progress, RecordError, npz};
use s3dlio_store::{Uri, transfer};
use serde_json::json;

use crate::bar::{bar, draw};
use crate::exit::Failure;
use crate::session::Session;

/// Arguments of `convert`.
#[derive(Debug, Args)]
pub struct Convert {
    /// A file of the formats array_record, disky, tfrecord, npz and npy: URI or local path
    #[arg(value_name = "SOURCE")]
    source: String,

    /// What to write: URI or local path
    #[arg(value_name = "DESTINATION")]
    dest: String,

    /// Format of the source; found out by content and name if not given
    #[arg(long, value_name = "FORMAT")]
    from: Option<String>,

    /// Format to write; by the name of the destination if not given
    #[arg(long, value_name = "FORMAT")]
    to: Option<String>,

    /// How it is written: the options of array_record (group_size:1,zstd:9); none or zstd (disky); none, gzip or zlib with
    /// a level (gzip:9), and index (tfrecord); a level of 1 to 9 that deflates (npz)
    #[arg(short, long, default_value = "")]
    options: String,

    /// The array to take out of an archive; not needed where it has only one
    #[arg(long, value_name = "NAME")]
    array: Option<String>,

    /// Write what is whole of a damaged source
    #[arg(long)]
    recover: bool,

    /// No progress bar; there is none either where standard error is no terminal
    #[arg(long)]
    no_progress: bool,
}

impl Convert {
    /// Runs the command.
    pub fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        let (source, dest) = (transfer::destination(&self.source)?, transfer::destination(&self.dest)?);
        let to = self.to.as_deref().map(Kind::parse).transpose()?.or_else(|| Kind::of_name(&dest));
        let to = to.ok_or_else(|| {
            let found = format!("none, and the name {dest} tells no format");
            RecordError::config("to", found, Kind::names())
        })?;
        let from = match self.from.as_deref().map(Kind::parse).transpose()? {
            Some(from) => from,
            None => session.told(detect(&source), || {})?,
        };
        if let Some(array) = self.array.as_ref().filter(|_| !(from == Kind::Npz && to == Kind::Npy)) {
            return Err(RecordError::config("array", array, "nothing but for an npy file from an npz archive").into());
        }
        let began = Instant::now();
        let done = if from.is_arrays() && to.is_arrays() {
            self.arrays(session, (&source, from), (&dest, to))?
        } else {
            self.records(session, (&source, from), (&dest, to))?
        };
        let seconds = began.elapsed().as_secs_f64();
        let Converted { records, record_bytes, faults } = done;
        let text = || {
            let what = if to.is_arrays() { "arrays" } else { "records" };
            let lost = if faults > 0 { format!(", {faults} faults passed over") } else { String::new() };
            format!("{dest}: {to}: {records} {what}, {} in {seconds:.2} s{lost}", BinaryBytes(record_bytes))
        };
        session.say(text, || {
            json!({
                "source": source.to_string(), "from": from.name(), "uri": dest.to_string(), "format": to.name(),
                "records": records, "record_bytes": record_bytes, "faults": faults, "seconds": seconds,
            })
        })
    }

    fn records(
        &self,
        session: &mut Session<'_>,
        source: (&Uri, Kind),
        dest: (&Uri, Kind),
    ) -> Result<Converted, Failure> {
        let progress = Arc::new(Progress::default());
        let on_damage = if self.recover { OnDamage::Skip } else { OnDamage::Stop };
        let work = convert(source, dest, &self.options, on_damage, Arc::clone(&progress));
        let bar = bar(self.no_progress);
        let done = session.told(work, || draw(&bar, &progress));
        bar.finish_and_clear();
        done
    }

    /// Arrays pass through memory as a whole.
    fn arrays(
        &self,
        session: &mut Session<'_>,
        (source, from): (&Uri, Kind),
        (dest, to): (&Uri, Kind),
    ) -> Result<Converted, Failure> {
        if self.recover {
            return Err(RecordError::config("recover", "--recover", "a source with records").into());
        }
        let level = match self.options.as_str() {
            "" => None,
            text if to == Kind::Npz => {
                let level = text.parse().ok().filter(|level| (1..=9).contains(level));
                Some(level.ok_or_else(|| RecordError::config("options", format!("{text:?}"), "a level of 1 to 9"))?)
            }
            text => return Err(RecordError::config("options", format!("{text:?}"), "none for npy").into()),
        };
        let mut arrays = match from {
            Kind::Npy => vec![("arr_0".to_owned(), session.told(npz::read_npy(source), || {})?)],
            _ => match &self.array {
                Some(name) => session.told(npz::read_selected(source, vec![name.clone()], Limits::default()), || {})?,
                None => session.told(npz::read(source, Limits::default()), || {})?,
            },
        };
        let record_bytes = arrays.iter().map(|(_, array)| array.byte_len() as u64).sum();
        let done = Converted { records: arrays.len() as u64, record_bytes, faults: 0 };
        if to == Kind::Npz {
            session.told(npz::write(dest, arrays, level), || {})?;
            return Ok(done);
        }
        let Some((_, array)) = arrays.pop().filter(|_| arrays.is_empty()) else {
            let found = format!("none, and {source} has {} arrays", done.records);
            return Err(RecordError::config("array", found, "the name of one of them").into());
        };
        session.wait(Ok(npz::write_npy(dest, &array)?))?;
        Ok(done)
    }
}
