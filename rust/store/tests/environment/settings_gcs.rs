//! Settings of Google Cloud Storage from the environment.

use std::time::Duration;

use crate::common::{Server, reply, run, serve};
use crate::environment::{Folder, environment};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::settings::Gcs;
use s3dlio_store::{StoreError, Uri, registry};

/// A key that was made for these tests and opens nothing.
const KEY: [&str; 28] = [
    "-----BEGIN PRIVATE KEY-----",
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCzIepXmBhD7RyC",
    "SFEEJbtWQmDh5x6qD1yYAa+F2/8jpdPXlwqS3bJnkdxHQhWcEaaU0/TCo2p6uxFp",
    "Xlntp8ZaogVRkIvwyIpBD9iTjL9pXPLrjWn/YS+WJ4W8b9vEgEsrO3Gfn+EK93+r",
    "g7JfuQNEbYsPfRsHkQtyfaJm3NYAuISNUszrp2axYjtqS3GNXiYY3XWSrGTRPKw2",
    "XAdXzG3uAW1KYBgOMGG3odKPRRxnJzoO/I2tTbyyhWzy1hP1L6UDfM2I9AOZ1mZX",
    "h0L4HKQLZI145SEl+3dv3Q1PxamsQ8X5OOtePP+rsJUyvbRZ+HlM/T0wZPNhbd0Y",
    "Dtm41F1RAgMBAAECggEAJCK418++QWGhKST2duw3pNiCG8AYXvz3VFCuvEWba/EF",
    "UY3OG79uQFdbxOIvYsrqvEYfr23wym5XPlbCtF7udBUQFpqeqEWEIkjUiztO163g",
    "8SSXV+WeiF9TqqY0AqlQwJleu/EwIBq6XfqUrpuvbYvdjBPUMowPb5qpeq+c2gsI",
    "YtvTYcSy7RvgWpfLLl3ZE1W/u6YGM3hkohB8R5no/n996dQ52SqJih84MznHlnsr",
    "TikiYCeW76rt5++TA873DjDvvYK4QGaKpdFI6HKdGIeNSRAEMlbyAdaCpfixkwSc",
    "iUYFMwVvB2hWPVSkc86jawq2NedK4ZiQTD/f1Mv1wwKBgQDi+qP5ehoojcC6FNPM",
    "fqvsGS9t+Lx9/85WuKZwTqdKolYl5XjN+PGh8D0Tqdlw4zdQHi3VKHp1Fp/6NdVz",
    "EHzi08sIo+jwOjFCINOuefpKXdubdNGm/AC/ckJSC7l0sc60B30J3GYkGR+h1+t3",
    "ywMCjDljTArrCtCCD22NkeFohwKBgQDKCS+IbRY4DY9VO7Xnag3qY+4QjyCJchTc",
    "d7u4vx0DTG8n4gezeRFsjMYrMwgG8k5k7v0MUfAP9kAtGUgGJjdf5ufh/WxTW/NZ",
    "5xkSRqCSpMKfze3KQ/GNiiCuaxGlte9GP5DdVV4aiYagdukq5knCloye2W4vUekK",
    "lJkzqcj5ZwKBgEoEB5Kj4YHV78H+Zq6po/CCqffHg9fmoeefoQ7AZ0csNsF22fT4",
    "t/rht1kBKxnnzjK/FJ0M7Rnffd1+zpMODlt9SxkPMjecElIJGF4uApNblfBUoMU+",
    "KhRD8yKEFj7aeJg2VOzxRRGCa9E/8tYGin27Mj+SHYFV7nZrB4OBzapjAoGAVrP8",
    "dyLBf0qqcVyPowFLeYRrHSYfQ3z24OptYEp8C/dYWJhSz72sMZZ0UQO0dS61X/GE",
    "HS5oxKDcR75qv2DVMM3qQ3y7aUazt6hKhSJUNLqKX4RDgSMJXcGiZtfCGghq6A3N",
    "gH7rRJ4ybVi6ldOAYgaz0FPlSl9vkD/XQ2mguw8CgYBsxXy/cjq9jbc00HFz3pfa",
    "xY3t+zadEUYXQa2nbiUFyNYjfG9lqlZ54QHYDF543VdtcPGSRMt/W+XXk/t0qQYf",
    "B7IguBqP+so9kzMrzLY0c1lZloGhXkfoecfTjb86E3X52pLdVK5ARTdpdBefbn6+",
    "zYwbhex4qXvllHj2bdsYow==",
    "-----END PRIVATE KEY-----",
];

fn service_account(email: &str) -> String {
    let key = KEY.join(r"\n");
    format!(r#"{{"type":"service_account","private_key":"{key}","private_key_id":"1","client_email":"{email}"}}"#)
}

fn uri() -> Uri {
    Uri::parse("gs://bucket/folder/key").unwrap()
}

fn settings(variables: &[(&str, &str)]) -> Result<String, StoreError> {
    let _turn = environment(variables);
    Gcs::resolve(&uri()).map(|settings| format!("{settings:?}"))
}

/// The value of a field of a token's middle part, which is base64 of JSON.
fn claims(authorization: &str) -> String {
    let middle = authorization.strip_prefix("Bearer ").unwrap().split('.').nth(1).unwrap();
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for symbol in middle.bytes() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        bits = bits << 6 | alphabet.iter().position(|&known| known == symbol).unwrap() as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_emulator_is_asked_without_credentials() {
    let server = Server::start(|request, _| serve(request, b"content", Some("\"tag\"")));
    let address = server.address.to_string();
    for (name, value) in [
        ("GCS_ENDPOINT_URL", format!("http://{address}")),
        ("GCS_ENDPOINT_URL", format!("http://{address}/")),
        ("STORAGE_EMULATOR_HOST", address.clone()),
        ("STORAGE_EMULATOR_HOST", format!("http://{address}")),
        ("CLOUD_STORAGE_EMULATOR_ENDPOINT", format!("http://{address}")),
    ] {
        let _turn = environment(&[(name, &value)]);
        assert_eq!(run(ops::get(&uri(), GetOptions::default())).unwrap(), b"content".as_slice(), "{name}={value}");
        let request = server.requests().pop().unwrap();
        assert_eq!(request.path(), "/bucket/folder%2Fkey", "{name}={value}");
        assert_eq!(request.header("authorization"), "");
    }
}

#[test]
fn the_more_special_endpoint_wins() {
    let text = settings(&[("STORAGE_EMULATOR_HOST", "general:1"), ("GCS_ENDPOINT_URL", "https://special.example.org")]);
    let text = text.unwrap();
    assert!(text.contains("https://special.example.org") && !text.contains("general"), "{text}");
    assert!(settings(&[]).unwrap().contains("https://storage.googleapis.com"));
}

#[test]
fn a_bad_value_names_its_variable() {
    let folder = Folder::new();
    let no_json = folder.write("text", "hello");
    let other_kind = folder.write("external", r#"{"type":"external_account"}"#);
    for (name, value) in [
        ("GCS_ENDPOINT_URL", "ftp://host"),
        ("GCS_ENDPOINT_URL", "http://"),
        ("GCS_ENDPOINT_URL", "http://host?query"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json"),
        ("GOOGLE_APPLICATION_CREDENTIALS", &no_json),
        ("GOOGLE_APPLICATION_CREDENTIALS", &other_kind),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "no json"),
        ("S3DLIO_CONNECT_TIMEOUT_SECS", "soon"),
    ] {
        let error = settings(&[(name, value)]).unwrap_err();
        assert!(matches!(&error, StoreError::Config { option, .. } if option == name), "{name}={value}: {error:?}");
    }
    let error = settings(&[("GOOGLE_APPLICATION_CREDENTIALS", &other_kind)]).unwrap_err();
    assert!(error.to_string().contains("external_account"), "{error}");
}

#[test]
fn secrets_are_in_no_text() {
    let key = service_account("a@b").replace("\"1\"", "\"hush-hush\"");
    for variables in
        [vec![("GOOGLE_SERVICE_ACCOUNT_KEY", key.as_str())], vec![("GOOGLE_SERVICE_ACCOUNT_KEY", "{hush-hush}")]]
    {
        let _turn = environment(&variables);
        let resolved = Gcs::resolve(&uri());
        let opened = registry::open(&uri());
        for text in [format!("{resolved:?}"), format!("{opened:?}")] {
            assert!(!text.contains("hush-hush") && !text.contains("BEGIN"), "{text}");
        }
    }
}

#[test]
fn a_key_made_for_an_emulator_says_where_it_is() {
    let server = Server::start(|request, _| serve(request, b"content", Some("\"tag\"")));
    let folder = Folder::new();
    let text = format!(
        r#"{{"gcs_base_url":"http://{}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#,
        server.address
    );
    let path = folder.write("key.json", &text);
    let _turn = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    assert_eq!(run(ops::get(&uri(), GetOptions::default())).unwrap(), b"content".as_slice());
    assert_eq!(server.requests()[0].header("authorization"), "");
}

#[test]
fn a_named_key_signs_and_the_default_login_stays_at_google() {
    let server = Server::start(|request, _| serve(request, b"content", Some("\"tag\"")));
    let endpoint = format!("http://{}", server.address);
    let folder = Folder::new();
    let path = folder.write("key.json", &service_account("one@example.org"));
    {
        let _turn = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", &path), ("GCS_ENDPOINT_URL", &endpoint)]);
        run(ops::get(&uri(), GetOptions::default())).unwrap();
        let request = server.requests().pop().unwrap();
        assert!(claims(request.header("authorization")).contains("one@example.org"), "{:?}", request.headers);
    }
    folder.write("gcloud/application_default_credentials.json", &service_account("home@example.org"));
    let home = folder.path("gcloud");
    let home = ("CLOUDSDK_CONFIG", home.to_str().unwrap());
    {
        let _turn = environment(&[home, ("GCS_ENDPOINT_URL", &endpoint)]);
        run(ops::get(&uri(), GetOptions::default())).unwrap();
        assert_eq!(server.requests().pop().unwrap().header("authorization"), "");
    }
    let text = settings(&[home]).unwrap();
    assert!(text.contains("application_default_credentials.json"), "{text}");
    let text = settings(&[home, ("GOOGLE_SKIP_SIGNATURE", "true")]).unwrap();
    assert!(text.contains("Anonymous"), "{text}");
    let text = settings(&[]).unwrap();
    assert!(text.contains("Metadata"), "{text}");
}

#[test]
fn a_refused_token_is_made_anew_from_the_file() {
    let server = Server::start(|request, _| {
        if claims(request.header("authorization")).contains("new@example.org") {
            serve(request, b"content", Some("\"tag\""))
        } else {
            reply(401, "<Error><Code>ExpiredToken</Code></Error>")
        }
    });
    let folder = Folder::new();
    let path = folder.write("key.json", &service_account("old@example.org"));
    let endpoint = format!("http://{}", server.address);
    let _turn = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", &path), ("GCS_ENDPOINT_URL", &endpoint)]);
    let error = run(ops::get(&uri(), GetOptions::default())).unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    folder.write("key.json", &service_account("new@example.org"));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(run(ops::get(&uri(), GetOptions::default())).unwrap(), b"content".as_slice());
}
