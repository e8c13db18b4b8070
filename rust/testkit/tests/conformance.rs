//! object_store's own conformance suite, in both languages: what its clients expect of a store, this server does.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::sync::Arc;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut, S3CopyIfNotExists};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::integration::*;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectStore, ObjectStoreExt};
use s3dlio_testkit::{Protocol, Server};

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn server(protocol: Protocol) -> Server {
    let server = Server::start(protocol, 0).unwrap();
    // Google gives every object a generation, and the suite reads an older one.
    assert!(server.create_bucket("bucket", protocol == Protocol::Gcs));
    server
}

fn s3_builder(server: &Server) -> AmazonS3Builder {
    AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_endpoint(server.endpoint())
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_region("us-east-1")
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_allow_http(true)
}

fn s3(server: &Server) -> AmazonS3 {
    s3_builder(server).build().unwrap()
}

fn gcs(server: &Server, bucket: &str) -> GoogleCloudStorage {
    let endpoint = server.endpoint();
    let key = format!(
        r#"{{"gcs_base_url": "{endpoint}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#
    );
    GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_service_account_key(key)
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .build()
        .unwrap()
}

async fn conforms<T: ObjectStore + MultipartStore + PaginatedListStore>(store: &T) {
    put_get_delete_list(store).await;
    list_with_offset_exclusivity(store).await;
    list_uses_directories_correctly(store).await;
    list_with_delimiter(store).await;
    rename_and_copy(store).await;
    copy_if_not_exists(store).await;
    copy_rename_nonexistent_object(store).await;
    get_nonexistent_object(store, None).await.unwrap_err();
    stream_get(store).await;
    multipart(store, store).await;
    multipart_with_opts(store, store).await;
    multipart_put_part_out_of_order(store, store).await;
    multipart_race_condition(store, true).await;
    multipart_out_of_order(store).await;
    list_paginated(store, store).await;
    get_opts(store).await;
    put_opts(store, true).await;
    put_get_attributes(store).await;
}

#[test]
fn s3_conforms() {
    block_on(async {
        conforms(&s3(&server(Protocol::S3))).await;
    });
}

#[test]
fn gcs_conforms() {
    block_on(async {
        conforms(&gcs(&server(Protocol::Gcs), "bucket")).await;
    });
}

#[test]
fn s3_with_checksums() {
    block_on(async {
        for checksum in [Checksum::SHA256, Checksum::CRC64NVME] {
            let server = server(Protocol::S3);
            let store =
                s3_builder(&server).with_checksum_algorithm(checksum).with_unsigned_payload(true).build().unwrap();
            stream_get(&store).await;
            multipart(&store, &store).await;
            store.put(&Path::from("key"), "some bytes".into()).await.unwrap();
        }
    });
}

#[test]
fn what_is_missing_is_not_found() {
    block_on(async {
        let (s3_server, gcs_server) = (server(Protocol::S3), server(Protocol::Gcs));
        let s3 = s3_builder(&s3_server).with_bucket_name("missing").build().unwrap();
        let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(s3), Arc::new(gcs(&gcs_server, "missing"))];
        for store in stores {
            let error = get_nonexistent_object(&store, None).await.unwrap_err();
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
            let error = store.put(&Path::from("key"), "x".into()).await.unwrap_err();
            assert!(matches!(error, Error::NotFound { .. }), "{error}");
        }
        let error = gcs(&gcs_server, "bucket").delete(&Path::from("missing")).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    });
}
