//! Manifests, commits, and the keys that they name.

use prost::Message;

use crate::dtype;
use crate::layout;
use crate::manifest::{self, Commit, Manifest, ShardMeta};

use super::input::Input;

/// Bytes as they are, or the content of a sound frame.
pub fn manifest(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 3 {
        0 => {
            let rest = input.rest();
            let _ = manifest::decode::<Manifest>(rest);
            if let Ok(commit) = Commit::parse(rest) {
                assert_eq!(commit.to_text().as_bytes(), rest);
            }
            keys(rest);
        }
        1 => {
            // A length that is announced, before compressed bytes that may be those of anything.
            let mut rest = input.number(8).to_le_bytes().to_vec();
            rest.extend(input.rest());
            let _ = manifest::decode::<ShardMeta>(&framed(&rest));
        }
        _ => {
            let rest = input.rest();
            let mut content = (rest.len() as u64).to_le_bytes().to_vec();
            content.extend(zstd::bulk::compress(rest, 1).expect("memory is enough"));
            let Ok(found) = manifest::decode::<Manifest>(&framed(&content)) else { return };
            let _ = ShardMeta::decode(rest);
            let encoded = manifest::encode(&found).expect("a manifest that was read");
            assert_eq!(manifest::decode::<Manifest>(&encoded).expect("a manifest that was written"), found);
            if found.check(layout::is_shard).is_ok() {
                check(&found);
            }
        }
    }
}

fn framed(rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"S3DM".to_vec();
    bytes.extend(crc32c::crc32c(rest).to_le_bytes());
    bytes.extend(rest);
    bytes
}

fn check(found: &Manifest) {
    assert_eq!(found.shards.len(), found.world_size as usize);
    for shard in &found.shards {
        assert!(layout::is_shard(&shard.key) && !shard.key.contains(".."));
        for tensor in &shard.tensors {
            assert!(dtype::size(&tensor.dtype, &tensor.shape).is_some());
            assert!(!tensor.shared || tensor.extent().holds(&tensor.shape));
        }
    }
}

fn keys(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let attempt = layout::attempt_of(text);
    assert!(attempt.is_none_or(|attempt| text.contains(&attempt.to_string()) && !text.contains("..")));
    if let Some(step) = layout::committed(text) {
        assert_eq!(layout::commit(step), text);
    }
}
