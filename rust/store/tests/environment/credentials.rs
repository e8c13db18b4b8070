//! Credentials of S3: where they come from, and what happens when a server no longer takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Request, Server, reply, run, serve, within};
use crate::environment::{Folder, environment};
use bytes::Bytes;
use s3dlio_store::local::Create;
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::settings::S3;
use s3dlio_store::{Result, StoreError, Uri, registry};

/// Longer than the look at a file is remembered.
const NOTICED: Duration = Duration::from_millis(1100);

fn get(uri: &Uri) -> Result<Bytes> {
    run(ops::get(uri, GetOptions::default()))
}

fn key_of(request: &Request) -> String {
    let text = request.header("authorization");
    let start = text.find("Credential=").map_or(text.len(), |at| at + "Credential=".len());
    text[start..].split('/').next().unwrap().to_owned()
}

/// A server that takes the keys which `good` finds good.
fn server(good: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    Server::start(move |request, _| match good(&key_of(request)) {
        true => serve(request, b"content", Some("\"tag\"")),
        false => reply(403, "<Error><Code>InvalidAccessKeyId</Code></Error>"),
    })
}

fn keys(id: &str) -> String {
    format!("aws_access_key_id = {id}\naws_secret_access_key = hush/hu+sh=#;\n")
}

#[test]
fn keys_come_from_the_profile() {
    let server = server(|_| true);
    let folder = Folder::new();
    let credentials = folder.write("credentials", &format!("[default]\n{}[other]\n{}", keys("D"), keys("O")));
    let config =
        folder.write("config", "[profile other]\nregion = eu-north-1\n# a comment\n[default]\nregion=sa-east-1\n");
    let files = [("AWS_SHARED_CREDENTIALS_FILE", credentials.as_str()), ("AWS_CONFIG_FILE", config.as_str())];
    for (more, key, region) in [
        (vec![], "D", "sa-east-1"),
        (vec![("AWS_PROFILE", "other")], "O", "eu-north-1"),
        (vec![("AWS_DEFAULT_PROFILE", "other")], "O", "eu-north-1"),
        (vec![("AWS_PROFILE", "other"), ("AWS_REGION", "us-west-2")], "O", "us-west-2"),
        (vec![("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "s")], "E", "sa-east-1"),
    ] {
        let _turn = environment(&[&files[..], &more].concat());
        get(&server.uri("bucket/key")).unwrap();
        let request = server.requests().pop().unwrap();
        assert_eq!(key_of(&request), key, "{more:?}");
        assert!(request.header("authorization").contains(&format!("/{region}/s3/")), "{more:?}");
    }
}

#[test]
fn the_endpoint_may_stand_in_the_profile() {
    let server = server(|_| true);
    let folder = Folder::new();
    let text =
        format!("[default]\nendpoint_url = http://{}\n{}s3 =\n  addressing_style = path\n", server.address, keys("D"));
    let config = folder.write("config", &text);
    let _turn = environment(&[("AWS_CONFIG_FILE", &config)]);
    assert_eq!(get(&Uri::parse("s3://bucket/key").unwrap()).unwrap(), b"content".as_slice());
}

#[test]
fn what_a_profile_cannot_give_is_an_error_that_says_so() {
    let folder = Folder::new();
    let cases = [
        ("[default]\nregion = r", vec!["AWS_PROFILE", "\"mine\""]),
        ("[profile mine]\naws_access_key_id = A", vec!["profile mine", "aws_secret_access_key"]),
        ("[profile mine]\nsso_session = s\nsso_account_id = 1", vec!["SSO", "credential_process"]),
        ("[profile mine]\nrole_arn = r", vec!["source_profile"]),
        ("[profile mine]\nrole_arn = r\nsource_profile = gone", vec!["source_profile = gone"]),
        ("[profile mine]\nrole_arn = r\nmfa_serial = m\nsource_profile = x", vec!["mfa_serial"]),
        ("[profile mine]\nrole_arn = r\ncredential_source = Environment", vec!["AWS_ACCESS_KEY_ID"]),
        (
            "[profile a]\nrole_arn = r\nsource_profile = mine\n[profile mine]\nrole_arn = r\nsource_profile = a",
            vec!["chain"],
        ),
        (
            "[profile mine]\nservices = x\naws_access_key_id=A\naws_secret_access_key=B",
            vec!["services", "endpoint_url"],
        ),
        ("[profile mine\nhush", vec!["AWS_CONFIG_FILE"]),
    ];
    for (number, (text, words)) in cases.into_iter().enumerate() {
        let path = folder.write(&format!("config{number}"), text);
        let _turn = environment(&[("AWS_CONFIG_FILE", &path), ("AWS_PROFILE", "mine")]);
        let error = registry::open(&Uri::parse("s3://bucket/key").unwrap()).unwrap_err();
        assert!(matches!(error, StoreError::Config { .. }), "{text}: {error:?}");
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)) && !message.contains("hush"), "{text}: {message}");
    }
}

#[test]
fn half_a_login_is_an_error_and_not_another_login() {
    for (name, missing) in [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ] {
        let _turn = environment(&[(name, "http://127.0.0.1:1/")]);
        let error = registry::open(&Uri::parse("s3://bucket/key").unwrap()).unwrap_err();
        assert!(matches!(&error, StoreError::Config { option, .. } if option == missing), "{error:?}");
    }
    let _turn = environment(&[("AWS_ACCESS_KEY_ID", "only")]);
    let error = registry::open(&Uri::parse("s3://bucket/key").unwrap()).unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
}

#[test]
fn keys_that_change_in_the_file_are_taken_up() {
    let server = server(|key| key == "NEW");
    let folder = Folder::new();
    let path = folder.write("credentials", &format!("[default]\n{}", keys("OLD")));
    let uri = server.uri("bucket/key");
    let _turn = environment(&[("AWS_SHARED_CREDENTIALS_FILE", &path)]);
    let error = get(&uri).unwrap_err();
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    folder.write("credentials", &format!("[default]\n{}", keys("NEW")));
    std::thread::sleep(NOTICED);
    assert_eq!(get(&uri).unwrap(), b"content".as_slice());
}

#[test]
fn a_large_upload_survives_keys_that_end_in_its_middle() {
    let folder = Arc::new(Folder::new());
    let path = folder.write("credentials", &format!("[default]\n{}", keys("OLD")));
    let changed = Arc::clone(&folder);
    let parts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&parts);
    let server = Server::start(move |request, _| {
        let old = key_of(request) == "OLD";
        match (request.method.as_str(), request.query()) {
            ("POST", "uploads=") if old => {
                changed.write("credentials", &format!("[default]\n{}", keys("NEW")));
                std::thread::sleep(NOTICED);
                reply(200, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
            }
            _ if old => reply(400, "<Error><Code>ExpiredToken</Code></Error>"),
            ("PUT", _) => {
                counted.fetch_add(1, Ordering::SeqCst);
                reply(200, "").with("ETag", "\"part\"")
            }
            _ => reply(200, "<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>"),
        }
    });
    let _turn = environment(&[("AWS_SHARED_CREDENTIALS_FILE", &path)]);
    let data = Bytes::from(vec![7; 65 << 20]);
    within(Duration::from_secs(60), ops::put(&server.uri("bucket/key"), data, Create::Overwrite)).unwrap();
    assert_eq!(parts.load(Ordering::SeqCst), 5);
    let signed = server.requests().into_iter().filter(|request| key_of(request) == "NEW");
    assert!(signed.map(|request| request.header("x-amz-content-sha256").len()).all(|length| length == 64));
}

#[test]
fn a_program_gives_credentials_until_they_expire() {
    let server = server(|key| key.starts_with("RUN"));
    let folder = Folder::new();
    let script = folder.write(
        "run.sh",
        r#"echo x >> "$1"; n=$(wc -l < "$1"); echo "{\"Version\":1,\"AccessKeyId\":\"RUN$n\",\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":\"$2\"}""#,
    );
    let counter = folder.path("count");
    for (expiration, runs) in [("2099-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 3)] {
        let _ = std::fs::remove_file(&counter);
        let command = format!("sh {script} {} {expiration}", counter.display());
        let path = folder.write("config", &format!("[default]\ncredential_process = {command}\n"));
        std::thread::sleep(NOTICED);
        let _turn = environment(&[("AWS_CONFIG_FILE", &path)]);
        for _ in 0..3 {
            get(&server.uri("bucket/key")).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&counter).unwrap().lines().count(), runs, "{expiration}");
        assert_eq!(server.requests().pop().unwrap().header("x-amz-security-token"), "t");
    }
}

#[test]
fn a_program_that_fails_is_a_clear_error() {
    let server = server(|_| true);
    let folder = Folder::new();
    for (command, words) in [
        ("exit 3", "exit status: 3"),
        ("echo hush", "printed no credentials"),
        ("exec sleep 30", "longer than"),
        ("echo '{\"Version\":2,\"AccessKeyId\":\"a\",\"SecretAccessKey\":\"b\"}'", "version 2"),
    ] {
        let path = folder.write(command, &format!("[default]\ncredential_process = {command}\n"));
        let _turn = environment(&[("AWS_CONFIG_FILE", &path), ("S3DLIO_OPERATION_TIMEOUT_SECS", "1")]);
        let error = get(&server.uri("bucket/key")).unwrap_err();
        assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("profile default") && !text.contains("hush"), "{text}");
    }
    assert!(server.requests().is_empty());
}

/// A token service: the number of the request is part of the key that it gives.
fn token_service(action: &'static str) -> Server {
    Server::start(move |_, number| {
        reply(
            200,
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
                 <AccessKeyId>STS{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>token{number}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                 </{action}Result></{action}Response>"
            ),
        )
    })
}

#[test]
fn a_role_is_assumed_with_the_keys_of_another_profile() {
    let (sts, server) = (token_service("AssumeRole"), server(|key| key == "STS1"));
    let folder = Folder::new();
    let text = format!(
        "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = x y\n\
         duration_seconds = 900\n[profile base]\n{}",
        keys("BASE")
    );
    let (path, url) = (folder.write("config", &text), format!("http://{}", sts.address));
    let _turn = environment(&[("AWS_CONFIG_FILE", &path), ("AWS_PROFILE", "role"), ("AWS_ENDPOINT_URL_STS", &url)]);
    for _ in 0..2 {
        assert_eq!(get(&server.uri("bucket/key")).unwrap(), b"content".as_slice());
    }
    assert_eq!(server.requests().pop().unwrap().header("x-amz-security-token"), "token1");
    let asked = sts.requests();
    assert_eq!((asked.len(), server.requests().len()), (2, 3), "once at first, once after the refusal");
    assert_eq!(key_of(&asked[0]), "BASE");
    let form = String::from_utf8(asked[0].body.clone()).unwrap();
    for field in
        ["Action=AssumeRole", "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr", "ExternalId=x+y", "DurationSeconds=900"]
    {
        assert!(form.contains(field), "{form}");
    }
}

#[test]
fn one_refresh_serves_all_requests() {
    let (sts, server) = (token_service("AssumeRoleWithWebIdentity"), server(|key| key == "STS1"));
    let folder = Folder::new();
    let (file, url) = (folder.write("token", "identity"), format!("http://{}", sts.address));
    let _turn = environment(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &file),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ]);
    let uris: Vec<Uri> = (0..64).map(|number| server.uri(&format!("bucket/{number}"))).collect();
    let all = run(ops::get_many(uris, 64, GetOptions::default())).unwrap();
    assert_eq!(all.len(), 64);
    assert_eq!(sts.requests().len(), 2);
    assert!(sts.requests()[0].target.contains("WebIdentityToken=identity"), "{}", sts.requests()[0].target);
}

#[test]
fn a_container_agent_is_asked_with_its_token() {
    let agent = Server::start(|_, _| {
        let body = r#"{"AccessKeyId":"TASK","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#;
        reply(200, body).with("Content-Type", "application/json")
    });
    let server = server(|key| key == "TASK");
    let folder = Folder::new();
    let (file, url) = (folder.write("token", "agent-token"), format!("http://{}/credentials", agent.address));
    // The agent is in the same host: no proxy stands between.
    let _turn = environment(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("NO_PROXY", "localhost"),
    ]);
    let uri = Uri::parse(&format!("s3://localhost:{}/bucket/key", server.address.port())).unwrap();
    assert_eq!(get(&uri).unwrap(), b"content".as_slice());
    assert_eq!(agent.requests()[0].header("authorization"), "agent-token");
}

#[test]
fn a_closed_bucket_costs_few_requests_for_credentials() {
    let (sts, server) = (token_service("AssumeRoleWithWebIdentity"), server(|_| false));
    let folder = Folder::new();
    let (file, url) = (folder.write("token", "identity"), format!("http://{}", sts.address));
    let _turn = environment(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &file),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", &url),
    ]);
    for _ in 0..20 {
        let error = get(&server.uri("bucket/key")).unwrap_err();
        assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    }
    assert!(sts.requests().len() <= 4, "{}", sts.requests().len());
}

#[test]
fn secrets_are_in_no_text() {
    let folder = Folder::new();
    let path = folder.write("credentials", &format!("[default]\n{}", keys("ID")));
    let _turn = environment(&[("AWS_SHARED_CREDENTIALS_FILE", &path)]);
    let uri = Uri::parse("s3://bucket/key").unwrap();
    for text in [format!("{:?}", S3::resolve(&uri)), format!("{:?}", registry::open(&uri))] {
        assert!(!text.contains("hush"), "{text}");
    }
}
