//! Members of an archive of which only parts are at hand.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use crate::common::{golden, manifest};
use crate::zip_writer::{Member, archive};
use bytes::Bytes;
use proptest::prelude::*;
use s3dlio_formats::npz::{Directory, Limits, Npz, Progress};
use s3dlio_formats::{Array, FormatError};

/// Reads the directory from an end of at first `tail` bytes, and says how much of the archive that took.
fn directory(whole: &Bytes, tail: usize) -> Result<(Directory, usize), FormatError> {
    let len = whole.len();
    let mut from = len.saturating_sub(tail);
    for _ in 0..5 {
        match Directory::read(&whole.slice(from..), len as u64, &Limits::default())? {
            Progress::Ready(directory) => return Ok((directory, from)),
            Progress::NeedsFrom(before) => {
                assert!((before as usize) < from, "asks for what it has");
                from = before as usize;
            }
        }
    }
    panic!("asks again and again");
}

/// All arrays, each from its own bytes alone.
fn arrays(whole: &Bytes, tail: usize) -> Result<Vec<(String, Array)>, FormatError> {
    let (directory, _) = directory(whole, tail)?;
    let one = |member: &s3dlio_formats::npz::Member| {
        let range = member.range();
        let extent = Bytes::copy_from_slice(&whole[range.start as usize..range.end as usize]);
        Ok((member.array_name().to_owned(), member.array(&extent, &Limits::default())?))
    };
    directory.arrays().map(one).collect()
}

#[test]
fn any_end_will_do_to_begin_with() {
    for file in manifest(".npz").keys() {
        let whole = golden(file);
        let expected = Npz::open(&whole, Limits::default()).unwrap().read_all().unwrap();
        for tail in 0..=whole.len() {
            assert_eq!(arrays(&whole, tail).unwrap(), expected, "{file}: {tail} bytes");
        }
    }
}

#[test]
fn no_more_than_the_directory_is_asked_for() {
    let content = golden("fortran.npy");
    let names: Vec<_> = (0..3000).map(|i| format!("{i:04}.npy")).collect();
    let members: Vec<_> = names.iter().map(|name| Member::stored(name, &content)).collect();
    let whole = archive(&members);
    let start = members.len() * (30 + 8 + content.len());
    for tail in [22, 100, Directory::TAIL as usize] {
        assert_eq!(directory(&whole, tail).unwrap().1, start);
    }
    let (directory, from) = directory(&whole, whole.len() - start + 7).unwrap();
    assert_eq!((directory.members().len(), from), (3000, start - 7));
}

#[test]
fn members_follow_each_other() {
    for file in manifest(".npz").keys() {
        let whole = golden(file);
        let (directory, _) = directory(&whole, 22).unwrap();
        let mut at = 0;
        for member in directory.members() {
            assert_eq!(member.range().start, at);
            assert!(member.range().end - at > member.stored_len());
            at = member.range().end;
        }
    }
}

#[test]
fn bytes_of_another_member_are_noticed() {
    let whole = golden("stored.npz");
    let (directory, _) = directory(&whole, 22).unwrap();
    let (first, second) = (&directory.members()[0], &directory.members()[1]);
    let range = first.range();
    let extent = whole.slice(range.start as usize..range.end as usize);
    assert!(first.array(&extent, &Limits::default()).is_ok());
    for wrong in [extent.slice(1..), extent.slice(..extent.len() - 1), Bytes::new()] {
        let error = first.array(&wrong, &Limits::default()).unwrap_err();
        assert_eq!(error.member(), Some("x.npy"), "{error}");
    }
    assert!(second.array(&extent, &Limits::default()).is_err());
}

#[test]
fn other_members_are_found_by_their_full_name() {
    let (directory, _) = directory(&golden("with_comment_and_text.npz"), 22).unwrap();
    assert_eq!(directory.members().len(), directory.arrays().count() + 1);
    let text = directory.find("notes.txt").unwrap();
    assert!(!text.is_array());
    let whole = golden("with_comment_and_text.npz");
    let extent = whole.slice(text.range().start as usize..text.range().end as usize);
    assert_eq!(text.content(&extent, &Limits::default()).unwrap(), "not an array");
    assert!(matches!(directory.find("notes"), Err(FormatError::NoSuchArray { .. })));
}

#[test]
fn a_large_directory_is_refused_before_it_is_fetched() {
    let whole = golden("stored.npz");
    let limits = Limits { max_directory_bytes: 100, ..Limits::default() };
    let error = Directory::read(&whole.slice(whole.len() - 42..), whole.len() as u64, &limits).unwrap_err();
    assert!(matches!(error, FormatError::OverLimit { limit: 100, .. }) && error.is_unsupported(), "{error}");
}

#[test]
fn archives_behind_other_bytes_are_refused() {
    let mut whole = b"something else, 32 bytes in all.".to_vec();
    whole.extend(golden("stored.npz"));
    let error = directory(&Bytes::from(whole), 100).unwrap_err();
    assert!(matches!(error, FormatError::Archive { .. }), "{error}");
}

proptest! {
    #[test]
    fn lies_about_the_length_never_panic(file in 0usize..9, cut in 0usize..200, len in any::<u64>()) {
        let files: Vec<_> = manifest(".npz").into_keys().collect();
        let whole = golden(&files[file % files.len()]);
        let tail = whole.slice(whole.len().saturating_sub(cut)..);
        for len in [len, len % 5000] {
            if let Ok(Progress::NeedsFrom(from)) = Directory::read(&tail, len, &Limits::default()) {
                prop_assert!(from < len.saturating_sub(tail.len() as u64));
            }
        }
    }
}
