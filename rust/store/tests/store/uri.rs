//! URIs and patterns, without any store.

use proptest::prelude::*;
use s3dlio_store::pattern::{Pattern, split_glob};
use s3dlio_store::{Scheme, StoreError, Uri};

#[test]
fn texts_and_their_parts() {
    use Scheme::{File, Memory, S3};
    let table: [(&str, Scheme, Option<&str>, &str, &str); 17] = [
        ("file:///data/a.npz", File, None, "", "/data/a.npz"),
        ("file:///", File, None, "", "/"),
        ("file://data/a.npz", File, None, "", "data/a.npz"),
        ("file:///a//b", File, None, "", "/a//b"),
        ("file:///a b/ü?#%20", File, None, "", "/a b/ü?#%20"),
        ("memory://b/k", Memory, None, "b", "k"),
        ("memory://b:1/k", Memory, None, "b:1", "k"),
        ("s3://bucket", S3, None, "bucket", ""),
        ("s3://bucket/", S3, None, "bucket", ""),
        ("s3://bucket/a/b.npz", S3, None, "bucket", "a/b.npz"),
        ("s3://bucket/a/", S3, None, "bucket", "a/"),
        ("s3://bucket//a", S3, None, "bucket", "/a"),
        ("s3://bucket/50%25 of it?x=1#y", S3, None, "bucket", "50%25 of it?x=1#y"),
        ("s3://bucket/ключ/键", S3, None, "bucket", "ключ/键"),
        ("s3://127.0.0.1:9000/bucket/k", S3, Some("127.0.0.1:9000"), "bucket", "k"),
        ("s3://[::1]:9000/bucket/k", S3, Some("[::1]:9000"), "bucket", "k"),
        ("s3://host:9000/bucket", S3, Some("host:9000"), "bucket", ""),
    ];
    for (text, scheme, endpoint, bucket, key) in table {
        let uri = Uri::parse(text).unwrap();
        let expected = Uri { scheme, authority: endpoint.map(str::to_owned), bucket: bucket.into(), key: key.into() };
        assert_eq!(uri, expected, "{text}");
        assert_eq!(uri.to_string(), if key.is_empty() { uri.root() } else { text.to_owned() });
        assert_eq!(uri.root() + &uri.key, uri.to_string());
        assert_eq!(Uri::parse(&uri.to_string()).unwrap(), uri, "{text}");
        assert_eq!(Uri::parse_root(&uri.root()).unwrap(), uri.with_key(""), "{text}");
    }
}

#[test]
fn texts_that_are_no_uri_say_what_is_wrong() {
    let table = [
        ("", "no scheme"),
        ("/data/a.npz", "file:///path"),
        ("s3:/bucket/k", "no scheme"),
        ("hdfs://c/k", "unknown scheme \"hdfs\": expected one of file://, direct://, memory://, s3://, gs://, az://"),
        ("S3://bucket/k", "unknown scheme"),
        ("file://", "no path"),
        ("s3://", "no bucket"),
        ("s3:///k", "no bucket"),
        ("memory://", "no bucket"),
        ("memory:///k", "no bucket"),
        ("s3://host:9000", "no bucket"),
        ("s3://host:9000/", "no bucket"),
        ("s3://host:9000//k", "no bucket"),
    ];
    for (text, reason) in table {
        let error = Uri::parse(text).unwrap_err();
        assert!(matches!(&error, StoreError::InvalidUri { uri, .. } if uri == text), "{text}: {error:?}");
        assert!(error.to_string().contains(reason), "{text}: {error}");
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
}

#[test]
fn directories_are_told_by_their_slash() {
    for (text, directory) in
        [("s3://b", true), ("s3://b/", true), ("s3://b/a", false), ("s3://b/a/", true), ("file:///a/", true)]
    {
        assert_eq!(Uri::parse(text).unwrap().is_directory(), directory, "{text}");
    }
}

#[test]
fn keys_that_no_client_can_address_are_refused_with_the_uri() {
    for key in ["a//b", "/a", "a/../b", "./a", "a/./b", "tab\there", "..", "new\nline"] {
        let uri = Uri::parse("s3://b/x").unwrap().with_key(key);
        let error = uri.object_path().unwrap_err();
        assert!(matches!(&error, StoreError::InvalidUri { uri, .. } if uri.ends_with(key)), "{key}: {error:?}");
    }
    for key in ["a%2Fb", "50%", "ü/键", "a b", "a#b?c", "...", "a..b", "-", "a+b&c=d"] {
        let uri = Uri::parse("s3://b/x").unwrap().with_key(key);
        assert_eq!(uri.object_path().unwrap().to_string(), key, "keys are taken literally");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_prints_what_it_read(text in ".{0,40}") {
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string()).unwrap(), uri);
        }
    }

    #[test]
    fn every_key_survives_a_round_trip(key in "[^\\x00]{0,30}") {
        for root in ["s3://bucket/", "memory://b/", "s3://h:1/b/"] {
            let uri = Uri::parse(&format!("{root}{key}")).unwrap();
            prop_assert_eq!(uri.root(), root);
            prop_assert_eq!(&uri.key, &key);
            let _ = uri.object_path();
        }
    }
}

#[test]
fn a_pattern_is_a_glob_where_it_looks_like_one() {
    let globs =
        ["*.npz", "shard-?.npz", "img_{a,b}.png", "part[0-9].bin", "*", "a/*.npz", "*.{npz,npy}", "*(1).npz", "*a+b*"];
    let expressions = [r"\.npz$", "a.*b", "^train", "npz", "(a|b)", "a+", ".npz", ".*", "[0-9]+", "x$"];
    for text in globs {
        assert!(matches!(Pattern::detect(text).unwrap(), Pattern::Glob(_)), "{text}");
    }
    for text in expressions {
        assert!(matches!(Pattern::detect(text).unwrap(), Pattern::Regex(_)), "{text}");
    }
}

#[test]
fn what_a_detected_pattern_selects() {
    let table = [
        ("*.npz", "a.npz", true),
        ("*.npz", "sub/a.npz", true),
        ("*.npz", "a.npz.tmp", false),
        ("?.npz", "sub/a.npz", true),
        ("?.npz", "ab.npz", false),
        ("sub/*.npz", "sub/a.npz", true),
        ("sub/*.npz", "other/a.npz", false),
        ("[ab]*", "sub/b1", true),
        ("*.{npz,npy}", "x.npy", true),
        ("*.{npz,npy}", "x.csv", false),
        ("npz", "sub/a.npz.tmp", true),
        (r"\.npz$", "sub/a.npz", true),
        (r"\.npz$", "sub/a.npz.tmp", false),
        ("^a", "b/a", false),
        ("^sub/", "sub/x", true),
        ("*(1).npz", "copy (1).npz", true),
        ("ключ*", "ключ-1", true),
    ];
    for (pattern, key, selected) in table {
        assert_eq!(Pattern::detect(pattern).unwrap().matches(key), selected, "{pattern} on {key}");
    }
}

#[test]
fn a_pattern_that_is_neither_names_the_option() {
    for text in ["(", "a{", "*[", "[z-a]*", r"\"] {
        let error = Pattern::detect(text).unwrap_err();
        assert!(matches!(&error, StoreError::Config { option, .. } if option == "pattern"), "{text}: {error:?}");
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        assert_eq!(error.uri(), "");
    }
    assert!(Pattern::glob("a{").is_err() && Pattern::regex("*").is_err());
}

#[test]
fn a_glob_in_a_key_is_split_behind_its_last_plain_directory() {
    for (key, split) in [
        ("a/b/*.npz", Some(("a/b/", "*.npz"))),
        ("*.npz", Some(("", "*.npz"))),
        ("/data/x*", Some(("/data/", "x*"))),
        ("a/b*c/d", Some(("a/", "b*c/d"))),
        ("a/**/d.npz", Some(("a/", "**/d.npz"))),
        ("a/b?.npz", None),
        ("a/b[1].npz", None),
        ("", None),
        ("ключ/*", Some(("ключ/", "*"))),
    ] {
        assert_eq!(split_glob(key), split, "{key}");
    }
}
