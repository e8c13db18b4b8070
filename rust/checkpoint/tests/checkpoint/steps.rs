//! Saving and loading from Rust, on local files.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use s3dlio_checkpoint::boxes::Region;
use s3dlio_checkpoint::commit::{self, CommitOptions, ShardOptions};
use s3dlio_checkpoint::header::Spec;
use s3dlio_checkpoint::layout::{Attempt, Strategy};
use s3dlio_checkpoint::manifest::Manifest;
use s3dlio_checkpoint::meta::Extent;
use s3dlio_checkpoint::open::{self, Checkpoint, Request};
use s3dlio_checkpoint::save::{self, Identity, Item};
use s3dlio_checkpoint::tree::Tree;
use s3dlio_checkpoint::{CheckpointError, verify};
use s3dlio_store::region::Owned;
use s3dlio_store::{Uri, Work};

fn uri(folder: &tempfile::TempDir, name: &str) -> Uri {
    Uri::parse(&format!("file://{}/{name}", folder.path().display())).unwrap()
}

fn item(name: &str, data: Vec<u8>, extent: Option<Extent>) -> Item {
    let spec = Spec { name: name.into(), dtype: "U8".into(), shape: vec![data.len() as u64] };
    Item { spec, data: Bytes::from(data), extent, shared: false }
}

fn tree(name: &str, global: bool) -> Tree {
    Tree::parse(&format!(r#"[{{"tensor":"{name}","as":"numpy","dtype":"|u1","global":{global}}}]"#)).unwrap()
}

fn read(checkpoint: &Arc<Checkpoint>, global: bool, region: Option<Region>, length: usize) -> Vec<u8> {
    let (memory, target) = Owned::zeroed(length);
    let request = Request { name: "w".into(), global, region, target };
    let checkpoint = Arc::clone(checkpoint);
    Work::network(async move { Ok(checkpoint.read(0, vec![request], true, Arc::default()).await) })
        .wait()
        .unwrap()
        .unwrap();
    memory.into_bytes().unwrap()
}

#[test]
fn one_object_and_a_part_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..9_000_000_u32).map(|number| (number / 7) as u8).collect();
    for level in [None, Some(3)] {
        let uri = uri(&folder, "c");
        let identity = Identity { save_id: String::new(), rank: 0, world_size: 1 };
        save::save(&uri, vec![item("w", data.clone(), None)], tree("w", false), identity, level, Arc::default())
            .unwrap()
            .wait()
            .unwrap()
            .unwrap();
        let checkpoint = Arc::new(open::open_object(&uri).unwrap().wait().unwrap().unwrap());
        assert_eq!(read(&checkpoint, false, None, data.len()), data);
        let part = Region { offsets: vec![4_194_300], lengths: vec![10] };
        assert_eq!(read(&checkpoint, false, Some(part), 10), data[4_194_300..4_194_310]);
        assert_eq!(verify::verify(checkpoint).wait().unwrap().unwrap(), 9_000_000);
    }
}

fn save_shard(base: &Uri, attempt: &Attempt, rank: u32, offset: u64) {
    let extent = Extent { global: vec![8], offsets: vec![offset] };
    let options = ShardOptions {
        attempt: attempt.clone(),
        rank,
        world_size: 2,
        nonce: u64::from(rank),
        strategy: Strategy::Flat,
        level: None,
        announce: true,
        progress: Arc::default(),
    };
    let items = vec![item("w", vec![rank as u8 + 1; 4], Some(extent))];
    commit::save_shard(base, items, tree("w", true), options).unwrap().wait().unwrap().unwrap();
}

fn finish(base: &Uri, attempt: &Attempt) -> Result<String, CheckpointError> {
    let options = CommitOptions {
        attempt: attempt.clone(),
        world_size: 2,
        timeout: Duration::ZERO,
        overwrite: false,
        shards: None,
        describe: Manifest::default(),
    };
    commit::commit(base, options).unwrap().wait().unwrap()
}

#[test]
fn a_step_of_two_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let base = uri(&folder, "m");
    let attempt = Attempt::new(1, &"0".repeat(32)).unwrap();
    save_shard(&base, &attempt, 1, 4);
    assert!(matches!(finish(&base, &attempt), Err(CheckpointError::Incomplete { .. })));
    save_shard(&base, &attempt, 0, 0);
    finish(&base, &attempt).unwrap();
    finish(&base, &attempt).unwrap();
    assert_eq!(open::steps(&base).unwrap().wait().unwrap().unwrap(), [1]);
    let checkpoint = Arc::new(open::open_step(&base, None).unwrap().wait().unwrap().unwrap());
    assert_eq!(read(&checkpoint, true, None, 8), [1, 1, 1, 1, 2, 2, 2, 2]);
    let part = Region { offsets: vec![3], lengths: vec![2] };
    assert_eq!(read(&checkpoint, true, Some(part), 2), [1, 2]);
}

#[test]
fn a_hole_or_an_overlap_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let base = uri(&folder, "m");
    for (number, offset) in [(1, 0), (2, 2)] {
        let attempt = Attempt::new(number, &"0".repeat(32)).unwrap();
        save_shard(&base, &attempt, 0, 0);
        save_shard(&base, &attempt, 1, offset);
        assert!(matches!(finish(&base, &attempt), Err(CheckpointError::Incomplete { .. })));
    }
    assert!(open::steps(&base).unwrap().wait().unwrap().unwrap().is_empty());
}
