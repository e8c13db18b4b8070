//! Settings of Azure Blob Storage from the environment.

use crate::common::{Request, Server, reply, run, serve};
use crate::environment::{Folder, environment};
use s3dlio_store::ops::{self, GetOptions};
use s3dlio_store::settings::Azure;
use s3dlio_store::{StoreError, Uri, registry};

const KEY: &str = "aHVzaC1odXNoLWh1c2gtaHVzaA==";

fn resolve(uri: &str, variables: &[(&str, &str)]) -> Result<String, StoreError> {
    let _turn = environment(variables);
    Azure::resolve(&Uri::parse(uri).unwrap()).map(|settings| format!("{settings:?}"))
}

/// The request that a read of `uri` makes of a server at the endpoint, which stands for `SERVER` in the values.
fn request(uri: &str, variables: &[(&str, &str)]) -> Request {
    let server = Server::start(|request, _| serve(request, b"content", Some("\"tag\"")));
    let address = format!("http://{}", server.address);
    let filled: Vec<(&str, String)> =
        variables.iter().map(|(name, value)| (*name, value.replace("SERVER", &address))).collect();
    let filled: Vec<(&str, &str)> = filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _turn = environment(&filled);
    let content = run(ops::get(&Uri::parse(uri).unwrap(), GetOptions::default())).unwrap();
    assert_eq!(content, b"content".as_slice());
    server.requests().pop().unwrap()
}

#[test]
fn the_account_comes_from_the_uri_or_from_the_environment() {
    let endpoint = ("AZURE_STORAGE_ENDPOINT", "SERVER");
    let key = ("AZURE_STORAGE_KEY", KEY);
    for (uri, variables) in [
        ("az://account/container/folder/key", vec![endpoint, key]),
        ("az://account/container/folder/key", vec![endpoint, key, ("AZURE_STORAGE_ACCOUNT", "account")]),
        ("az://container/folder/key", vec![endpoint, key, ("AZURE_STORAGE_ACCOUNT", "account")]),
        ("az://container/folder/key", vec![endpoint, key, ("AZURE_BLOB_ACCOUNT", "account")]),
        (
            "az://container/folder/key",
            vec![("AZURE_STORAGE_CONNECTION_STRING", "AccountName=account;AccountKey=aHVzaA==;BlobEndpoint=SERVER/")],
        ),
    ] {
        let request = request(uri, &variables);
        assert_eq!(request.path(), "/container/folder/key", "{uri} {variables:?}");
        assert!(request.header("authorization").starts_with("SharedKey account:"), "{:?}", request.headers);
    }
    let error = registry_error("az://container", &[]);
    assert!(matches!(error, StoreError::InvalidUri { .. }), "{error:?}");
}

fn registry_error(uri: &str, variables: &[(&str, &str)]) -> StoreError {
    let _turn = environment(variables);
    match Uri::parse(uri) {
        Ok(uri) => registry::open(&uri).unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn the_emulator_has_its_account_in_the_path() {
    let emulator = ("AZURE_STORAGE_USE_EMULATOR", "true");
    let at = ("AZURITE_BLOB_STORAGE_URL", "SERVER");
    for (uri, variables) in [
        ("az://container/key", vec![emulator, at]),
        ("az://devstoreaccount1/container/key", vec![emulator, at]),
        ("az://container/key", vec![at, ("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")]),
        (
            "az://container/key",
            vec![(
                "AZURE_STORAGE_CONNECTION_STRING",
                "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=aHVzaA==;\
                 BlobEndpoint=SERVER/devstoreaccount1;QueueEndpoint=http://127.0.0.1:1/devstoreaccount1",
            )],
        ),
    ] {
        let request = request(uri, &variables);
        assert_eq!(request.path(), "/devstoreaccount1/container/key", "{variables:?}");
        assert!(request.header("authorization").starts_with("SharedKey devstoreaccount1:"), "{:?}", request.headers);
    }
    let request = request("az://other/container/key", &[emulator, at, ("AZURE_STORAGE_ACCOUNT", "other")]);
    assert_eq!(request.path(), "/other/container/key");
}

#[test]
fn other_logins_are_used_as_they_are_named() {
    let base = [("AZURE_STORAGE_ENDPOINT", "SERVER"), ("AZURE_STORAGE_ACCOUNT", "account")];
    let with = |name, value| request("az://container/key", &[&base[..], &[(name, value)]].concat());
    let signed = with("AZURE_STORAGE_SAS_TOKEN", "?sv=2024-01-01&sig=abc%2Fdef");
    assert!(signed.query().contains("sig=abc%2Fdef"), "{}", signed.target);
    assert_eq!(signed.header("authorization"), "");
    let signed = with("AZURE_STORAGE_CONNECTION_STRING", "AccountName=account;SharedAccessSignature=sv=1&sig=xyz");
    assert!(signed.query().contains("sig=xyz"), "{}", signed.target);
    assert_eq!(with("AZURE_STORAGE_TOKEN", "token").header("authorization"), "Bearer token");
    assert_eq!(with("AZURE_SKIP_SIGNATURE", "true").header("authorization"), "");
}

#[test]
fn endpoints_are_made_from_their_parts() {
    for (text, expected) in [
        ("AccountName=a;AccountKey=aHVzaA==", "https://a.blob.core.windows.net"),
        (
            "AccountName=a;AccountKey=aHVzaA==;EndpointSuffix=core.chinacloudapi.cn",
            "https://a.blob.core.chinacloudapi.cn",
        ),
        ("AccountName=a;AccountKey=aHVzaA==;DefaultEndpointsProtocol=http", "http://a.blob.core.windows.net"),
        ("accountname=a;ACCOUNTKEY=aHVzaA==;blobendpoint=https://b.example.org/", "https://b.example.org"),
        ("BlobEndpoint=https://a.blob.core.windows.net;SharedAccessSignature=sig=1", "https://a.blob.core.windows.net"),
    ] {
        let settings = resolve("az://container/key", &[("AZURE_STORAGE_CONNECTION_STRING", text)]).unwrap();
        assert!(settings.contains(&format!("endpoint: {expected:?}")), "{text}: {settings}");
        assert!(settings.contains("container: \"container\""), "{settings}");
    }
    let both = [
        ("AZURE_STORAGE_ACCOUNT", "a"),
        ("AZURE_STORAGE_KEY", KEY),
        ("AZURE_STORAGE_ENDPOINT", "https://special.example.org"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;BlobEndpoint=https://general.example.org"),
    ];
    assert!(resolve("az://container/key", &both).unwrap().contains("special"));
}

#[test]
fn a_bad_value_names_its_variable() {
    let account = ("AZURE_STORAGE_ACCOUNT", "account");
    for (name, value) in [
        ("AZURE_STORAGE_ENDPOINT", "host:1"),
        ("AZURE_BLOB_ENDPOINT_URL", "ftp://host"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AcountName=account"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=aHVzaA=="),
        ("AZURE_STORAGE_KEY", "no base64!"),
        ("AZURE_STORAGE_SAS_TOKEN", "without"),
    ] {
        let error = registry_error("az://container/key", &[account, (name, value)]);
        assert!(matches!(&error, StoreError::Config { option, .. } if option == name), "{name}={value}: {error:?}");
    }
    for (name, missing) in
        [("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID"), ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID")]
    {
        let error = registry_error("az://container/key", &[account, (name, "value")]);
        assert!(matches!(&error, StoreError::Config { option, .. } if option == missing), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_private_endpoint_without_credentials_is_refused_at_once() {
    let error = registry_error("az://account/container/key", &[("AZURE_STORAGE_ENDPOINT", "http://10.255.255.1:9")]);
    assert!(matches!(error, StoreError::PermissionDenied { .. }), "{error:?}");
    assert!(error.to_string().contains("AZURE_STORAGE_KEY"), "{error}");
}

#[test]
fn secrets_are_in_no_text() {
    let secret = "AccountName=a;AccountKey=aHVzaC1odXNo;SharedAccessSignature=sig=whispered";
    for variables in [
        vec![("AZURE_STORAGE_CONNECTION_STRING", secret)],
        vec![("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AcountKey=aHVzaC1odXNo")],
        vec![("AZURE_STORAGE_ACCOUNT", "a"), ("AZURE_STORAGE_KEY", "aHVzaC1odXNo!")],
        vec![("AZURE_STORAGE_ACCOUNT", "a"), ("AZURE_STORAGE_SAS_TOKEN", "whispered")],
        vec![("AZURE_STORAGE_ACCOUNT", "a"), ("AZURE_STORAGE_SAS_TOKEN", "sig=whispered")],
    ] {
        let _turn = environment(&variables);
        let uri = Uri::parse("az://container/key").unwrap();
        for text in [format!("{:?}", Azure::resolve(&uri)), format!("{:?}", registry::open(&uri))] {
            assert!(!text.contains("aHVzaC1odXNo") && !text.contains("whispered"), "{text}");
        }
    }
}

#[test]
fn a_refused_token_of_an_application_is_fetched_anew() {
    let authority = Server::start(|_, number| {
        reply(200, format!(r#"{{"access_token":"token-{number}","expires_in":3600,"token_type":"Bearer"}}"#))
            .with("Content-Type", "application/json")
    });
    let server = Server::start(|request, _| match request.header("authorization") {
        "Bearer token-1" => serve(request, b"content", Some("\"tag\"")),
        _ => reply(401, "<Error><Code>InvalidAuthenticationInfo</Code></Error>"),
    });
    let folder = Folder::new();
    let file = folder.write("token", "federated");
    let (host, endpoint) = (format!("http://{}/", authority.address), format!("http://{}", server.address));
    let _turn = environment(&[
        ("AZURE_STORAGE_ENDPOINT", &endpoint),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", &file),
        ("AZURE_AUTHORITY_HOST", &host),
    ]);
    // Whether the first part of a name is an account depends on the environment.
    let uri = Uri::parse("az://account/container/key").unwrap();
    assert_eq!(run(ops::get(&uri, GetOptions::default())).unwrap(), b"content".as_slice());
    assert_eq!(run(ops::get(&uri, GetOptions::default())).unwrap(), b"content".as_slice());
    assert_eq!((authority.requests().len(), server.requests().len()), (2, 3));
    let asked = authority.requests().pop().unwrap();
    assert_eq!(asked.path(), "/tenant/oauth2/v2.0/token");
}
