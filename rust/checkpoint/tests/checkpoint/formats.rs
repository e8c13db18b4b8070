//! The pure parsers: what is written is read, and whatever else comes is refused without a panic.

use proptest::prelude::*;
use s3dlio_checkpoint::boxes::{Region, runs};
use s3dlio_checkpoint::container::{self, ContainerHeader};
use s3dlio_checkpoint::header::{self, Checksums, Spec};
use s3dlio_checkpoint::layout::{self, Attempt, Strategy as Spread};
use s3dlio_checkpoint::manifest::{self, Commit, Manifest};
use s3dlio_checkpoint::tree::Tree;

fn spec(name: &str, dtype: &str, shape: &[u64]) -> Spec {
    Spec { name: name.into(), dtype: dtype.into(), shape: shape.to_vec() }
}

#[test]
fn a_header_is_read_as_it_was_written() {
    let specs =
        vec![spec("a", "U8", &[3]), spec("b", "F64", &[2, 2]), spec("c", "BF16", &[0, 7]), spec("d", "I32", &[])];
    let placed = header::lay_out(specs).unwrap();
    assert_eq!(placed.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3, 2, 0]);
    let tensors: Vec<_> = placed.into_iter().map(|(_, tensor)| tensor).collect();
    let metadata = vec![("k\"".to_owned(), "v".to_owned())];
    let bytes = header::write(&tensors, &metadata).unwrap();
    assert_eq!(bytes.len() % 64, 0);
    let length = header::announced(*bytes.first_chunk().unwrap(), bytes.len() as u64 + 39).unwrap();
    assert_eq!(length as usize, bytes.len() - 8);
    let read = header::parse(&bytes[8..], 39).unwrap();
    assert_eq!(read.buffer(), 39);
    assert_eq!(read.meta("k\""), Some("v"));
    assert_eq!(read.tensors.len(), 4);
}

#[test]
fn names_stand_once_and_types_are_known() {
    assert!(header::lay_out(vec![spec("a", "U8", &[1]), spec("a", "U8", &[1])]).is_err());
    assert!(header::lay_out(vec![spec("a", "O", &[1])]).is_err());
    assert!(header::lay_out(vec![spec("a", "F64", &[1 << 62, 8])]).is_err());
    assert!(header::lay_out(vec![spec("__metadata__", "U8", &[1])]).is_err());
}

#[test]
fn checksums_notice_their_own_damage() {
    let checksums = Checksums { chunks: vec![1, 2, 3], header: 4 };
    let bytes = checksums.to_bytes();
    assert_eq!(Checksums::parse(&bytes, 9000, 4096).unwrap(), checksums);
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(Checksums::parse(&broken, 9000, 4096).is_err());
    }
    assert!(Checksums::parse(&bytes[4..], 9000, 4096).is_err());
}

#[test]
fn trees_are_counted() {
    for good in [
        "[null]",
        r#"[{"dict":1},"a",{"list":2},1,{"tuple":0}]"#,
        r#"[{"meta":true,"odict":0},{"dict":0}]"#,
        r#"[{"int":"-ff"}]"#,
    ] {
        let tree = Tree::parse(good).unwrap();
        assert_eq!(tree.to_text(), good);
    }
    for bad in [
        "[]",
        "[1,2]",
        r#"[{"dict":1},"a"]"#,
        r#"[{"list":-1}]"#,
        r#"[{"x":1}]"#,
        "[[]]",
        "[1.5]",
        r#"[{"int":"+f"}]"#,
        "{",
    ] {
        assert!(Tree::parse(bad).is_err(), "{bad}");
    }
    let deep = |levels: usize| format!("[{}1]", r#"{"list":1},"#.repeat(levels));
    assert!(Tree::parse(&deep(128)).is_ok());
    assert!(Tree::parse(&deep(129)).is_err());
}

#[test]
fn frames_come_back_and_never_grow_beyond_their_size() {
    let raw = vec![7_u8; 100_000];
    let (packed, frame) = container::pack(&raw, 3).unwrap();
    let mut back = vec![0; raw.len()];
    container::unpack(&packed, &frame, &mut back).unwrap();
    assert_eq!(back, raw);
    assert!(container::unpack(&packed, &frame, &mut back[1..]).is_err());
    assert!(container::unpack(&packed, &frame, &mut vec![0; raw.len() + 1]).is_err());
    assert!(container::unpack(&packed[1..], &frame, &mut back).is_err());
}

#[test]
fn a_container_is_read_as_it_was_written() {
    let header = ContainerHeader { text: b"{}".to_vec(), raw: 10_000, chunk: 4096 };
    let head = container::write_head(&header);
    let mut at = head.len() as u64;
    let mut frames = Vec::new();
    for number in 0..3 {
        let raw = vec![0; container::raw_size(&header, number) as usize];
        let (packed, frame) = container::pack(&raw, 1).unwrap();
        frames.push(container::Frame { offset: at, ..frame });
        at += packed.len() as u64;
    }
    let tail = container::write_tail(&frames, at, &head);
    let file = at + tail.len() as u64;
    assert_eq!(container::announced(&head, file).unwrap(), Some(head.len() as u64 - container::PREFIX));
    assert_eq!(container::parse_head(&head).unwrap(), header);
    let split = tail.len() - container::FOOTER as usize;
    let (table, crc) = container::parse_footer(&tail[split..], &head, file).unwrap();
    assert_eq!(table, at);
    assert_eq!(container::parse_table(&tail[..split], crc, &header, head.len() as u64, at).unwrap(), frames);
    assert!(container::parse_table(&tail[..split], crc, &header, head.len() as u64, at + 1).is_err());
}

#[test]
fn keys_have_one_grammar() {
    let attempt = Attempt::new(7, &"a".repeat(32)).unwrap();
    for strategy in [Spread::Flat, Spread::RoundRobin, Spread::Binary] {
        let key = attempt.shard(strategy, 3, 64, 5, "safetensors");
        assert!(layout::is_shard(&key), "{key}");
        assert_eq!(layout::attempt_of(&key).unwrap(), attempt);
    }
    assert_eq!(layout::attempt_of(&attempt.manifest()).unwrap(), attempt);
    assert_eq!(layout::attempt_of(&attempt.meta(3)).unwrap(), attempt);
    assert!(!layout::is_shard(&attempt.manifest()));
    assert_eq!(layout::committed(&layout::commit(u64::MAX)), Some(u64::MAX));
    let shard = attempt.shard(Spread::Flat, 0, 1, 0, "s3ck");
    for bad in [
        format!("../{shard}"),
        format!("/{shard}"),
        format!("s3://b/{shard}"),
        shard.replace("data/", "data/../data/"),
        shard.replace('a', "A"),
        shard.replace("s3ck", "pt"),
        String::new(),
    ] {
        assert!(!layout::is_shard(&bad), "{bad}");
    }
    assert!(Attempt::new(1, "x").is_err());
    assert!(layout::committed("steps/1").is_none());
}

#[test]
fn tensors_are_shared_out_by_bytes() {
    let sizes: Vec<(String, u64)> = [5, 9, 1, 4, 4, 4].iter().enumerate().map(|(n, s)| (n.to_string(), *s)).collect();
    let owner = layout::balance(&sizes, 3);
    let mut load = [0; 3];
    for (rank, (_, size)) in owner.iter().zip(&sizes) {
        load[*rank as usize] += size;
    }
    assert_eq!(load.iter().max(), Some(&9));
}

#[test]
fn commits_say_one_thing_in_one_way() {
    let commit = Commit { step: 3, attempt: "b".repeat(32), size: 99, crc: 0xab };
    let text = commit.to_text().into_bytes();
    assert_eq!(Commit::parse(&text).unwrap(), commit);
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut broken = text.clone();
            broken[at] ^= 1 << bit;
            assert!(Commit::parse(&broken).is_ok_and(|other| other != commit) || Commit::parse(&broken).is_err());
        }
    }
}

#[test]
fn manifests_notice_damage() {
    let manifest = Manifest { format_version: 1, step: 5, world_size: 1, ..Manifest::default() };
    let bytes = manifest::encode(&manifest).unwrap();
    assert_eq!(manifest::decode::<Manifest>(&bytes).unwrap(), manifest);
    for at in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[at] ^= 1;
        assert!(manifest::decode::<Manifest>(&broken).is_err());
        assert!(manifest::decode::<Manifest>(&bytes[..at]).is_err());
    }
    assert!(manifest.check(|_| true).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        let _ = header::parse(&bytes, 5);
        let _ = header::parse(text.as_bytes(), 5);
        let _ = Tree::parse(&text);
        let _ = container::announced(&bytes, 100);
        let _ = container::parse_head(&bytes);
        let _ = container::parse_footer(&bytes, &[], 100);
        let _ = manifest::decode::<Manifest>(&bytes);
        let _ = Commit::parse(&bytes);
        let _ = layout::attempt_of(&text);
    }

    #[test]
    fn runs_copy_what_two_boxes_share(
        shape in prop::collection::vec(1_u64..6, 1..4),
        seeds in prop::collection::vec((0_u64..100, 0_u64..100, 0_u64..100, 0_u64..100), 3),
    ) {
        let region = |first: bool| {
            let axis = |(length, seed): (&u64, &(u64, u64, u64, u64))| {
                let (offset, size) = if first { (seed.0, seed.1) } else { (seed.2, seed.3) };
                let offset = offset % length;
                (offset, 1 + size % (length - offset))
            };
            let (offsets, lengths) = shape.iter().zip(&seeds).map(axis).unzip();
            Region { offsets, lengths }
        };
        let (source, target) = (region(true), region(false));
        let at = |region: &Region, number: u64| {
            let mut rest = number;
            let mut position = vec![0; shape.len()];
            for axis in (0..shape.len()).rev() {
                position[axis] = region.offsets[axis] + rest % region.lengths[axis];
                rest /= region.lengths[axis];
            }
            position
        };
        let mut copied = vec![None; target.elements().unwrap() as usize];
        for run in runs(&source, &target, 1) {
            for step in 0..run.source.end - run.source.start {
                let slot = &mut copied[(run.target + step) as usize];
                prop_assert!(slot.is_none());
                *slot = Some(at(&source, run.source.start + step));
            }
        }
        for (number, found) in copied.into_iter().enumerate() {
            let position = at(&target, number as u64);
            let inside = position.iter().enumerate().all(|(axis, at)| {
                (source.offsets[axis]..source.offsets[axis] + source.lengths[axis]).contains(at)
            });
            prop_assert_eq!(found, inside.then_some(position));
        }
    }
}
