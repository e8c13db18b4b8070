//! Settings from the environment, which belongs to the process: the tests take turns.

use std::time::Duration;

use crate::common::{Server, reply, run, serve, timed};
use crate::environment::environment;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::settings::S3;
use s3dlio_store::{StoreError, Uri, registry};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKTEST"), ("AWS_SECRET_ACCESS_KEY", "hush-hush")];

fn with_keys<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&KEYS, more].concat()
}

fn bucket() -> Uri {
    Uri::parse("s3://bucket/key").unwrap()
}

fn client(variables: &[(&str, &str)]) -> String {
    let _turn = environment(variables);
    format!("{:?}", S3::resolve(&bucket()).unwrap().build().unwrap())
}

#[test]
fn a_bad_value_names_its_variable() {
    for (name, value) in [
        ("S3DLIO_CONNECT_TIMEOUT_SECS", "soon"),
        ("S3DLIO_CONNECT_TIMEOUT_SECS", "0"),
        ("S3DLIO_CONNECT_TIMEOUT_SECS", "NaN"),
        ("S3DLIO_OPERATION_TIMEOUT_SECS", "-1"),
        ("S3DLIO_OPERATION_TIMEOUT_SECS", "inf"),
        ("S3DLIO_OPERATION_TIMEOUT_SECS", "86401"),
        ("S3DLIO_MAX_RETRY_ATTEMPTS", "-1"),
        ("S3DLIO_MAX_RETRY_ATTEMPTS", "2.5"),
        ("S3DLIO_UPLOAD_CHECKSUM", "md5"),
        ("S3_ADDRESSING_STYLE", "vhost"),
        ("AWS_ENDPOINT_URL", "localhost:9000"),
        ("AWS_ENDPOINT_URL", "ftp://host"),
        ("AWS_ENDPOINT_URL_S3", "not a url"),
        ("AWS_ENDPOINT_URL_S3", "http://"),
    ] {
        let _turn = environment(&with_keys(&[(name, value)]));
        let error = registry::open(&bucket()).unwrap_err();
        assert!(matches!(&error, StoreError::Config { option, .. } if option == name), "{name}={value}: {error:?}");
        assert!(error.to_string().contains(value), "{error}");
    }
}

#[test]
fn empty_values_count_as_unset() {
    let names = [
        "AWS_SKIP_SIGNATURE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "S3_ADDRESSING_STYLE",
        "AWS_CA_BUNDLE",
        "HTTPS_PROXY",
        "S3DLIO_CONNECT_TIMEOUT_SECS",
        "S3DLIO_OPERATION_TIMEOUT_SECS",
        "S3DLIO_MAX_RETRY_ATTEMPTS",
    ];
    let empty: Vec<(&str, &str)> = names.iter().map(|&name| (name, "")).collect();
    let _turn = environment(&with_keys(&empty));
    assert!(registry::open(&bucket()).is_ok());
}

#[test]
fn a_private_endpoint_without_credentials_is_refused_at_once() {
    for variables in [
        vec![("AWS_ENDPOINT_URL", "http://10.255.255.1:9000")],
        vec![("AWS_ENDPOINT_URL_S3", "http://10.255.255.1:9000"), ("AWS_ACCESS_KEY_ID", "only-half")],
        vec![("AWS_EC2_METADATA_DISABLED", "true")],
    ] {
        let _turn = environment(&variables);
        let (result, time) = timed(|| ops::get(&bucket(), GetOptions::default()));
        let error = result.unwrap_err();
        assert!(matches!(&error, StoreError::PermissionDenied { uri, .. } if uri == "s3://bucket/key"), "{error:?}");
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
        assert!(time < Duration::from_secs(1), "{time:?}");
    }
    let _turn = environment(&[("AWS_ENDPOINT_URL", "http://10.255.255.1:9000"), ("AWS_SKIP_SIGNATURE", "True")]);
    assert!(registry::open(&bucket()).is_ok());
}

#[test]
fn a_switch_says_yes_or_no() {
    let private = ("AWS_ENDPOINT_URL", "http://10.255.255.1:9000");
    for (word, anonymous) in [("on", true), ("YES", true), (" 1 ", true), ("off", false), ("0", false), ("No", false)] {
        let _turn = environment(&[private, ("AWS_SKIP_SIGNATURE", word)]);
        assert_eq!(registry::open(&bucket()).is_ok(), anonymous, "{word:?}");
    }
    let _turn = environment(&[private, ("AWS_SKIP_SIGNATURE", "ja")]);
    let error = registry::open(&bucket()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Config { .. }) && text.contains("AWS_SKIP_SIGNATURE"), "{text}");
    assert!(text.contains("\"ja\"") && text.contains("true"), "{text}");
}

#[test]
fn the_bucket_stands_in_the_path_or_in_the_host() {
    let endpoint = ("AWS_ENDPOINT_URL", "https://storage.example.org:9021/");
    let host = "https://bucket.storage.example.org:9021";
    let path = "https://storage.example.org:9021/bucket";
    for (style, expected) in [(None, path), (Some("path"), path), (Some("auto"), path), (Some("virtual"), host)] {
        let style = style.map(|style| ("S3_ADDRESSING_STYLE", style));
        let text = client(&with_keys(&[&[endpoint], style.as_slice()].concat()));
        assert!(text.contains(&format!("{expected:?}")), "{style:?}: {text}");
    }
    let text = client(&with_keys(&[("AWS_REGION", "eu-north-1")]));
    assert!(text.contains("bucket.s3.eu-north-1.amazonaws.com"), "{text}");
    let text = client(&with_keys(&[("AWS_DEFAULT_REGION", "eu-west-3"), ("S3_ADDRESSING_STYLE", "path")]));
    assert!(text.contains("https://s3.eu-west-3.amazonaws.com/bucket"), "{text}");
}

#[test]
fn the_more_special_variable_wins() {
    let text = client(&with_keys(&[
        ("AWS_ENDPOINT_URL", "http://general.example.org"),
        ("AWS_ENDPOINT_URL_S3", "http://special.example.org"),
        ("AWS_DEFAULT_REGION", "eu-west-3"),
        ("AWS_REGION", "eu-north-1"),
    ]));
    assert!(text.contains("special.example.org") && !text.contains("general.example.org"), "{text}");
    assert!(text.contains("eu-north-1") && !text.contains("eu-west-3"), "{text}");
    let _turn = environment(&with_keys(&[("AWS_ENDPOINT_URL_S3", "http://special.example.org")]));
    let settings = S3::resolve(&Uri::parse("s3://own.example.org:81/bucket/key").unwrap()).unwrap();
    assert!(format!("{:?}", settings.build().unwrap()).contains("http://own.example.org:81/bucket"));
}

#[test]
fn a_virtual_host_below_an_address_is_refused() {
    let _turn =
        environment(&with_keys(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"), ("S3_ADDRESSING_STYLE", "virtual")]));
    let error = registry::open(&bucket()).unwrap_err();
    assert!(matches!(&error, StoreError::Config { option, .. } if option == "AWS_ENDPOINT_URL"), "{error:?}");
}

#[test]
fn credentials_are_in_no_text() {
    let _turn = environment(&with_keys(&[("AWS_SESSION_TOKEN", "whispered")]));
    let settings = S3::resolve(&bucket()).unwrap();
    for text in [format!("{settings:?}"), format!("{:?}", registry::open(&bucket()).unwrap())] {
        assert!(!text.contains("hush-hush") && !text.contains("whispered"), "{text}");
    }
}

#[test]
fn a_changed_environment_takes_effect_at_the_next_call() {
    let server = Server::start(|request, _| serve(request, b"content", None));
    let uri = server.uri("bucket/key");
    for (key, region) in [("FIRST", "us-east-1"), ("SECOND", "us-east-1"), ("FIRST", "eu-north-1")] {
        let variables = [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", region)];
        let _turn = environment(&variables);
        assert_eq!(run(ops::get(&uri, GetOptions::default())).unwrap(), b"content".as_slice());
        let request = server.requests().pop().unwrap();
        assert_eq!(request.target, "/bucket/key");
        let scope = format!("Credential={key}/");
        assert!(request.header("authorization").contains(&scope), "{:?}", request.headers);
        assert!(request.header("authorization").contains(&format!("/{region}/s3/")), "{:?}", request.headers);
    }
    let _turn = environment(&[("AWS_SKIP_SIGNATURE", "1")]);
    run(ops::get(&uri, GetOptions::default())).unwrap();
    assert_eq!(server.requests().pop().unwrap().header("authorization"), "");
}

#[test]
fn uploads_carry_the_checksum_that_is_set() {
    let (sha, crc) = ("x-amz-checksum-sha256", "x-amz-checksum-crc64nvme");
    let server = Server::start(|_, _| reply(200, "").with("ETag", "\"tag\""));
    for (value, expected) in [("", Some(sha)), ("sha256", Some(sha)), ("CRC64NVME", Some(crc)), ("none", None)] {
        let _turn = environment(&with_keys(&[("S3DLIO_UPLOAD_CHECKSUM", value)]));
        run(ops::put(&server.uri("bucket/key"), "content".into(), Create::Overwrite)).unwrap();
        let request = server.requests().pop().unwrap();
        let found: Vec<&str> = [sha, crc].into_iter().filter(|name| !request.header(name).is_empty()).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{value:?}");
        assert_eq!(request.header("x-amz-content-sha256").len(), 64, "plain http is always hashed");
    }
    let hashed = |endpoint: &str, checksum: &str| {
        let more = [("AWS_ENDPOINT_URL", endpoint), ("S3DLIO_UPLOAD_CHECKSUM", checksum)];
        client(&with_keys(&more)).contains("sign_payload: true")
    };
    assert!(hashed("https://h.example.org", "sha256") && hashed("http://h.example.org", "crc64nvme"));
    assert!(!hashed("https://h.example.org", "crc64nvme"));
}

#[test]
fn variables_that_nothing_reads_are_found() {
    let _turn = environment(&[("S3DLIO_OPERATION_TIMEOUT_SECS", "1")]);
    assert_eq!(s3dlio_store::settings::unknown_variables(), Vec::<String>::new());
    // SAFETY: the lock of the environment is held.
    unsafe { std::env::set_var("S3DLIO_CONECT_TIMEOUT_SECS", "1") };
    let unknown = s3dlio_store::settings::unknown_variables();
    // SAFETY: as above.
    unsafe { std::env::remove_var("S3DLIO_CONECT_TIMEOUT_SECS") };
    assert_eq!(unknown, ["S3DLIO_CONECT_TIMEOUT_SECS"]);
}

#[test]
fn equal_settings_share_one_client() {
    let _turn = environment(&with_keys(&[]));
    let open = |text: &str| match registry::open(&Uri::parse(text).unwrap()).unwrap() {
        registry::Backend::Object(store) => std::sync::Arc::as_ptr(&store).cast::<()>() as usize,
        registry::Backend::Local(_) => unreachable!("no file"),
    };
    assert_eq!(open("s3://bucket/a"), open("s3://bucket/b"));
    assert_ne!(open("s3://bucket/a"), open("s3://other/a"));
}

#[test]
fn no_retries_means_one_request() {
    let server = Server::start(|_, _| reply(503, "busy"));
    for (retries, requests) in [("0", 1), ("2", 3)] {
        let before = server.requests().len();
        let _turn = environment(&with_keys(&[("S3DLIO_MAX_RETRY_ATTEMPTS", retries)]));
        let error = run(ops::get(&server.uri("bucket/key"), GetOptions::default())).unwrap_err();
        assert!(matches!(error, StoreError::Store { .. }), "{error:?}");
        assert_eq!(server.requests().len() - before, requests);
    }
}
