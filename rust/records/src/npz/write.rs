//! Writing archives and NPY files.

use bytes::Bytes;
use crc32fast::Hasher;
use s3dlio_formats::npz::{Encoder, Method, deflate};
use s3dlio_formats::{Array, FormatError};
use s3dlio_store::{StoreError, Uri, Work, ops};

use super::Arrays;
use crate::error::RecordError;
use crate::{Output, Result, jobs};

/// Bytes that are checked or deflated as one piece. Each piece of a deflate stream starts without knowledge of the one
/// before, which for pieces of this size costs less than a thousandth of the result.
const PIECE: usize = 4 << 20;

/// Bytes of arrays that are prepared at a time, so that several threads have work; deflated they are kept until they
/// are written.
const BATCH: usize = 64 << 20;

/// Bytes of arrays up to which a whole archive is made in memory and written at once: the machinery for large ones takes
/// longer than checking and copying these does.
const SMALL: usize = 1 << 20;

/// An array on its way into an archive.
struct Member {
    name: String,
    header: Bytes,
    items: Bytes,
}

/// A member's content as it will stand in the archive.
struct Prepared {
    name: String,
    crc32: u32,
    len: u64,
    content: Vec<Bytes>,
}

impl Prepared {
    fn new(name: String, pieces: impl Iterator<Item = Packed>) -> Self {
        let (mut crc32, mut len, mut content) = (Hasher::new(), 0, Vec::new());
        for piece in pieces {
            crc32.combine(&piece.crc32);
            len += piece.len;
            content.extend(piece.content);
        }
        Self { name, crc32: crc32.finalize(), len, content }
    }

    /// What stands in front of the content.
    fn header(&self, archive: &mut Encoder, level: Option<u32>) -> std::result::Result<Vec<u8>, FormatError> {
        let method = if level.is_some() { Method::Deflated } else { Method::Stored };
        let stored = self.content.iter().map(|part| part.len() as u64).sum();
        archive.member(&self.name, method, self.crc32, self.len, stored)
    }
}

/// Writes an archive, deflated with `level` (1 fast to 9 small) or as it is. It appears whole or not at all.
///
/// # Errors
/// At once: a URI or settings that cannot work; [`RecordError::Config`] for names that an archive cannot have;
/// [`RecordError::Format`] for arrays of Python objects. From the work: what [`StoreError`](s3dlio_store::StoreError)
/// lists.
pub fn write(uri: &Uri, arrays: Arrays, level: Option<u32>) -> Result<Work<Result<()>>> {
    let mut names = Encoder::new();
    let mut members = Vec::with_capacity(arrays.len());
    for (name, array) in arrays {
        let refused = |error| refused(uri, &name, error);
        names.member(&name, Method::Stored, 0, 0, 0).map_err(refused)?;
        let header = Bytes::from(array.header().map_err(refused)?);
        members.push(Member { name, header, items: array.data });
    }
    if members.iter().map(|member| member.header.len() + member.items.len()).sum::<usize>() <= SMALL {
        let name = uri.clone();
        return Ok(ops::put_made(uri, move || small(&name, &members, level))?.map(|_| Ok(())));
    }
    let output = Output::create(uri)?;
    let uri = uri.clone();
    Ok(Work::network(async move { Ok(write_task(&uri, &output, members, level).await) }))
}

/// Writes an NPY file, byte for byte as `numpy.save` does. It appears whole or not at all.
///
/// # Errors
/// As [`write()`].
pub fn write_npy(uri: &Uri, array: &Array) -> Result<Work<()>> {
    let header = array.header().map_err(|error| refused(uri, "", error))?;
    if header.len() + array.data.len() <= SMALL {
        let items = array.data.clone();
        return Ok(ops::put_made(uri, move || Ok(Bytes::from([&header[..], &items].concat())))?.map(|_| ()));
    }
    let output = Output::create(uri)?;
    let (first, second) = (output.write(Bytes::from(header))?, output.write(array.data.clone())?);
    Ok(Work::network(async move {
        first.into_future().await?;
        second.into_future().await?;
        output.finish()?.into_future().await.map(|_| ())
    }))
}

/// Arrays that cannot be written are the caller's mistake, not damage.
fn refused(uri: &Uri, name: &str, error: FormatError) -> RecordError {
    if error.is_unsupported() {
        return super::wrong(uri, FormatError::Member { member: name.to_owned(), error: Box::new(error) });
    }
    RecordError::config("arrays", format!("{name:?}"), format!("an array for {uri} ({error})"))
}

/// A small archive, as a whole.
fn small(uri: &Uri, members: &[Member], level: Option<u32>) -> s3dlio_store::Result<Bytes> {
    let failed = |detail: String| StoreError::Store { uri: uri.to_string(), detail };
    let mut archive = Encoder::new();
    let mut out = Vec::new();
    for (number, member) in members.iter().enumerate() {
        for piece in pieces(number, member) {
            // A small member is a single piece.
            let packed = pack(&piece, level).map_err(|error| failed(error.to_string()))?;
            let prepared = Prepared::new(member.name.clone(), std::iter::once(packed));
            out.extend(prepared.header(&mut archive, level).map_err(|error| failed(error.to_string()))?);
            prepared.content.iter().for_each(|part| out.extend_from_slice(part));
        }
    }
    out.extend(archive.finish());
    Ok(Bytes::from(out))
}

async fn write_task(uri: &Uri, output: &Output, members: Vec<Member>, level: Option<u32>) -> Result<()> {
    let mut archive = Encoder::new();
    let mut members = members.into_iter().peekable();
    while members.peek().is_some() {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(next) = members.next_if(|next| bytes == 0 || bytes + next.items.len() <= BATCH) {
            bytes += next.items.len().max(1);
            batch.push(next);
        }
        for member in prepare(batch, level).await? {
            let header = member.header(&mut archive, level);
            put(output, Bytes::from(header.map_err(|error| refused(uri, &member.name, error))?)).await?;
            for part in member.content {
                put(output, part).await?;
            }
        }
    }
    put(output, Bytes::from(archive.finish())).await?;
    output.finish()?.into_future().await?;
    Ok(())
}

async fn put(output: &Output, bytes: Bytes) -> Result<()> {
    if !output.try_write(&bytes)? {
        output.write(bytes)?.into_future().await?;
    }
    Ok(())
}

/// A part of a member: of the first one the header too.
struct Piece {
    member: usize,
    parts: Vec<Bytes>,
    last: bool,
}

/// Checksum and length of a piece, and what stands for it in the archive.
struct Packed {
    member: usize,
    crc32: Hasher,
    len: u64,
    content: Vec<Bytes>,
}

/// Checks members, and deflates them where there is a level, by pieces and on several threads.
async fn prepare(batch: Vec<Member>, level: Option<u32>) -> Result<Vec<Prepared>> {
    jobs::stoppable(move |stop| {
        let stop = stop.clone();
        let pieces = batch.iter().enumerate().flat_map(|(number, member)| pieces(number, member)).collect();
        let packed = jobs::each(pieces, move |piece| {
            if stop.is_set() {
                let detail = "the write was given up".into();
                return Err(StoreError::Store { uri: String::new(), detail }.into());
            }
            pack(piece, level)
        })?;
        Ok(joined(batch, packed))
    })
    .await?
}

fn pieces(number: usize, member: &Member) -> Vec<Piece> {
    let mut rest = member.items.clone();
    let first = rest.split_to(PIECE.min(rest.len()));
    let mut pieces = vec![Piece { member: number, parts: vec![member.header.clone(), first], last: rest.is_empty() }];
    while !rest.is_empty() {
        let next = rest.split_to(PIECE.min(rest.len()));
        pieces.push(Piece { member: number, parts: vec![next], last: rest.is_empty() });
    }
    pieces
}

fn pack(piece: &Piece, level: Option<u32>) -> Result<Packed> {
    let mut crc32 = Hasher::new();
    piece.parts.iter().for_each(|part| crc32.update(part));
    let len = piece.parts.iter().map(|part| part.len() as u64).sum();
    let content = match level {
        None => piece.parts.clone(),
        Some(level) => {
            let failed = |error: FormatError| StoreError::Store { uri: String::new(), detail: error.to_string() };
            vec![Bytes::from(deflate(&piece.parts.concat(), level, piece.last).map_err(failed)?)]
        }
    };
    Ok(Packed { member: piece.member, crc32, len, content })
}

/// Puts the pieces, which are in their order, together to members.
fn joined(batch: Vec<Member>, packed: Vec<Packed>) -> Vec<Prepared> {
    let mut packed = packed.into_iter().peekable();
    let members = batch.into_iter().enumerate().map(|(number, member)| {
        Prepared::new(member.name, std::iter::from_fn(|| packed.next_if(|piece| piece.member == number)))
    });
    members.collect()
}
