//! Disky files.

use bytes::Bytes;
use s3dlio_formats::disky::{Next, Reader};
use s3dlio_formats::riegeli::{ChunkHeader, ChunkKind, OnDamage, RiegeliError, block, chunk};

use super::input::Input;

/// Padding to the next block that one file may have.
const MOST_BLOCKS: u64 = 2;

/// A file of chunks with sound hashes, of anything, and of damage to either.
fn build(input: &mut Input<'_>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut blocks = 0;
    while !input.is_empty() {
        let begin = block::legal(file.len() as u64).expect("a small file");
        match input.byte() % 8 {
            0 => file.extend_from_slice(input.short()),
            1 => input.damage(&mut file),
            2 if blocks < MOST_BLOCKS => {
                blocks += 1;
                file.resize(begin as usize, 0);
                chunk::write_padding(begin, &mut file).expect("a legal place");
            }
            3 if file.is_empty() => drop(chunk::write_signature(&mut file)),
            4 => file.truncate(file.len().saturating_sub(usize::from(input.byte()))),
            _ => {
                let kind = ChunkKind::from_byte(input.byte());
                let (num_records, decoded_size) = (input.number(2), input.number(2));
                let data = input.long();
                file.resize(begin as usize, 0);
                let header = ChunkHeader::of(kind, num_records, decoded_size, &[data]);
                chunk::write(begin, &header, &[data], &mut file).expect("a legal place");
            }
        }
    }
    file
}

/// All records, and what stopped the reader.
fn read(file: &Bytes, piece: usize, on_damage: OnDamage) -> (Vec<(u64, Bytes)>, Option<RiegeliError>) {
    let mut reader = Reader::new(file.len() as u64, on_damage).read_ahead(piece as u64);
    let mut found = Vec::new();
    // Every step is about at least a byte that no other is about.
    for _ in 0..4 * file.len() + 100 {
        match reader.next_step() {
            Ok(Next::Need(need)) => {
                let start = file.len().min(need.offset as usize);
                let end = file.len().min(start + piece);
                reader.supply(need.offset, file.slice(start..end));
            }
            Ok(Next::Records { begin, records }) => {
                assert!(!records.is_empty());
                found.extend((0..records.len()).filter_map(|at| records.get(at)).map(|record| (begin, record)));
            }
            Ok(Next::Damage(_)) => assert_eq!(on_damage, OnDamage::Skip),
            Ok(Next::End) => {
                assert_eq!(reader.next_step(), Ok(Next::End));
                return (found, None);
            }
            Err(error) => {
                assert_eq!(on_damage, OnDamage::Stop);
                assert_eq!(reader.next_step(), Err(error.clone()));
                return (found, Some(error));
            }
        }
    }
    panic!("no end after {} records of a file of {} bytes", found.len(), file.len());
}

pub fn file(data: &[u8]) {
    let mut input = Input(data);
    let piece = usize::from(input.byte()) * 256 + 16;
    let file = Bytes::from(build(&mut input));
    let (before, error) = read(&file, piece, OnDamage::Stop);
    let (all, _) = read(&file, piece, OnDamage::Skip);
    assert!(all.starts_with(&before));
    assert!(error.is_some() || all == before);
    assert_eq!(read(&file, usize::MAX / 2, OnDamage::Skip).0, all);
}
