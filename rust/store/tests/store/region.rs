//! Memory that is lent and filled in parts.

use s3dlio_store::region::Owned;

#[test]
fn parts_are_filled_apart_and_had_back_together() {
    let (owned, mut first) = Owned::zeroed(5);
    let mut rest = first.split_off(2);
    let filling = std::thread::spawn(move || rest.memory().copy_from_slice(&[3, 4, 5]));
    first.append(&[1, 2, 9]);
    filling.join().unwrap();
    assert_eq!(first.filled(), 2);
    drop(first);
    assert_eq!(owned.into_bytes(), Some(vec![1, 2, 3, 4, 5]));
}

#[test]
fn memory_that_may_be_written_to_is_not_had_back() {
    let (owned, region) = Owned::zeroed(1);
    assert_eq!(owned.into_bytes(), None);
    drop(region);
    let (owned, region) = Owned::zeroed(0);
    assert!(region.is_empty());
    drop(region);
    assert_eq!(owned.into_bytes(), Some(Vec::new()));
}
