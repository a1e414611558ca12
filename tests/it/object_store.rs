//! The integration functions of the crate `object_store`, over http and https. They are what its authors ask
//! of any store: listing by folders and pages, conditional writes, copies, multipart uploads with parts out of
//! order and racing, attributes.

use crate::scheme::{Reach, over_both};
use crate::support;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3CopyIfNotExists};
use object_store::{Certificate, ClientOptions, Error, integration};
use std::fs;

/// The store that `object_store` makes of a bucket.
async fn store(reach: &Reach) -> AmazonS3 {
    let (_, bucket) = reach.with_bucket().await;
    let cluster = support::cluster();
    let keys = cluster
        .credentials()
        .expect("the cluster wrote credentials");
    let authority = fs::read(cluster.data().join("ca.pem")).expect("the cluster wrote ca.pem");
    let authority = Certificate::from_pem(&authority).expect("a certificate");
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_root_certificate(authority);
    AmazonS3Builder::new()
        .with_endpoint(reach.scheme.url(cluster))
        .with_region("us-east-1")
        .with_bucket_name(bucket)
        .with_access_key_id(keys.access_key)
        .with_secret_access_key(keys.secret_key)
        .with_client_options(options)
        // By a copy of parts whose completion carries If-None-Match: S3's own way.
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .build()
        .expect("a store")
}

/// Makes a test of each function of `object_store::integration`, with what it takes beside the store.
macro_rules! integration_functions {
    ($($name:ident($($more:tt),*)),+ $(,)?) => {
        $(async fn $name(reach: Reach) {
            let store = store(&reach).await;
            integration_functions!(@call $name, store, $($more),*);
        })+
        over_both!($($name),+, a_missing_object_is_not_found);
    };
    // `itself` stands for the store under another of its traits.
    (@call $name:ident, $store:ident, itself) => { integration::$name(&$store, &$store).await };
    (@call $name:ident, $store:ident, $($more:tt),*) => { integration::$name(&$store, $($more),*).await };
}

integration_functions! {
    put_get_delete_list(),
    put_get_attributes(),
    get_opts(),
    put_opts(true),
    stream_get(),
    list_uses_directories_correctly(),
    list_with_delimiter(),
    list_paginated(itself),
    list_with_offset_exclusivity(),
    rename_and_copy(),
    copy_if_not_exists(),
    copy_rename_nonexistent_object(),
    multipart(itself),
    multipart_with_opts(itself),
    multipart_put_part_out_of_order(itself),
    multipart_race_condition(true),
    multipart_out_of_order(),
}

/// The one function that returns what it found.
async fn a_missing_object_is_not_found(reach: Reach) {
    let store = store(&reach).await;
    let error = integration::get_nonexistent_object(&store, None).await;
    assert!(matches!(error, Err(Error::NotFound { .. })), "{error:?}");
}
