//! Headers of shards, and what a shard says of itself.

use crate::dtype;
use crate::header::{self, Checksums};
use crate::meta::Meta;

use super::input::Input;

/// The length of the buffer, then the text.
pub fn header(data: &[u8]) {
    let mut input = Input(data);
    let buffer = input.number(4);
    let text = input.rest();
    if let Ok(length) = header::announced(*data.first_chunk().unwrap_or(&[0; 8]), data.len() as u64) {
        assert!(length <= data.len() as u64);
    }
    let _ = Checksums::parse(text, buffer, 4096);
    let Ok(header) = header::parse(text, buffer) else { return };
    let mut at = 0;
    for tensor in &header.tensors {
        assert_eq!(tensor.range.start, at);
        assert_eq!(dtype::size(&tensor.spec.dtype, &tensor.spec.shape), Some(tensor.range.end - at));
        at = tensor.range.end;
    }
    assert_eq!((at, header.buffer()), (buffer, buffer));
    let written = header::write(&header.tensors, &header.metadata).expect("a header that was read");
    let mut again = header::parse(&written[8..], buffer).expect("a header that was written");
    // Empty tensors that begin together may change places.
    let mut header_sorted = header.clone();
    for one in [&mut header_sorted, &mut again] {
        one.tensors.sort_by(|a, b| (a.range.end, &a.spec.name).cmp(&(b.range.end, &b.spec.name)));
    }
    assert_eq!(again, header_sorted);
    if let Ok(Some(meta)) = Meta::of(&header) {
        assert!(meta.rank < meta.world_size);
        assert_eq!(meta.pickle, meta.tree.has_pickle());
    }
}
