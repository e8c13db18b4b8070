//! Data sets whose names follow from numbers.

use s3dlio_loader::error::LoaderError;
use s3dlio_loader::source::Template;

#[test]
fn numbers_are_counted_up_and_filled_with_zeros() {
    for (text, index, key) in [
        ("s3://b/p/img-{:06}.bin", 7, "p/img-000017.bin"),
        ("s3://b/{}", 0, "10"),
        ("file:///d/{{{:03}}}", 990, "/d/{1000}"),
    ] {
        assert_eq!(Template::parse(text, 10, 1000, None).unwrap().key(index).as_deref(), Some(key), "{text}");
    }
    assert_eq!(Template::parse("s3://b/{}", 0, 3, None).unwrap().key(3), None);
}

#[test]
fn what_is_no_template_is_refused() {
    for text in ["s3://b/a", "s3://b/{}{}", "s3://b/{:6}", "s3://b/{:00}", "s3://b/{:099}", "s3://b/{x}", "s3://b/}"] {
        assert!(matches!(Template::parse(text, 0, 1, None), Err(LoaderError::Config { .. })), "{text}");
    }
    assert!(Template::parse("s3://b/{}", 0, 0, None).is_err());
    assert!(Template::parse("b/{}", 0, 1, None).is_err());
}
