//! The AWS SDK for Rust as a client of the matrix. It has no transfer manager: a large file goes up as its
//! own documentation does it, part by part.

mod conversation;

use anyhow::{Context, Result, bail};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier, Tag,
    Tagging,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use conversation::{Place, Words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

const PART: usize = 5 * 1024 * 1024;
/// A file above this goes up in parts.
const LARGE: u64 = 8 * 1024 * 1024;

const VERBS: [&str; 20] = [
    "make_bucket",
    "buckets",
    "remove_bucket",
    "put",
    "upload",
    "get",
    "range",
    "list",
    "delete",
    "delete_many",
    "copy",
    "put_metadata",
    "metadata",
    "checksum",
    "wrong_checksum",
    "put_if_absent",
    "put_if_match",
    "set_tags",
    "tags",
    "presign",
];
const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let place = Place::read()?;
    let client = client(&place)?;
    conversation::serve(&VERBS, &ALGORITHMS, async |words: &Words| {
        answer(&client, words).await
    })
    .await
}

fn client(place: &Place) -> Result<Client> {
    let connector = if place.endpoint.starts_with("https:") {
        let trust = TrustStore::empty().with_pem_certificate(place.authority.clone());
        let context = TlsContext::builder().with_trust_store(trust).build()?;
        Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(context)
            .build_https()
    } else {
        Builder::new().build_http()
    };
    let keys = Credentials::new(&place.access_key, &place.secret_key, None, None, "matrix");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(&place.endpoint)
        .credentials_provider(keys)
        .force_path_style(true)
        .http_client(connector)
        .retry_config(RetryConfig::disabled());
    Ok(Client::from_conf(config.build()))
}

async fn answer(client: &Client, words: &Words) -> Result<Value> {
    match words.verb()? {
        "make_bucket" | "buckets" | "remove_bucket" => buckets(client, words).await,
        "put" | "upload" | "put_metadata" | "checksum" => put(client, words).await,
        "wrong_checksum" | "put_if_absent" | "put_if_match" => put_guarded(client, words).await,
        "get" | "range" | "metadata" | "list" | "presign" => read(client, words).await,
        "delete" | "delete_many" | "copy" => change(client, words).await,
        "set_tags" | "tags" => tags(client, words).await,
        verb => bail!("no verb {verb}"),
    }
}

async fn buckets(client: &Client, words: &Words) -> Result<Value> {
    if words.verb()? == "buckets" {
        let told = client.list_buckets().send().await?;
        let names: Vec<_> = told.buckets().iter().filter_map(|one| one.name()).collect();
        return Ok(json!(names));
    }
    let bucket = words.text("bucket")?;
    if words.verb()? == "make_bucket" {
        client.create_bucket().bucket(bucket).send().await?;
    } else {
        client.delete_bucket().bucket(bucket).send().await?;
    }
    Ok(Value::Null)
}

async fn put(client: &Client, words: &Words) -> Result<Value> {
    let file = words.file()?;
    let algorithm = words.text("algorithm").ok().map(ChecksumAlgorithm::from);
    if fs::metadata(&file)?.len() > LARGE {
        return upload(client, words, &file, algorithm).await;
    }
    let metadata = words.pairs("metadata").unwrap_or_default();
    client
        .put_object()
        .bucket(words.text("bucket")?)
        .key(words.text("key")?)
        .set_checksum_algorithm(algorithm)
        .set_metadata((!metadata.is_empty()).then(|| metadata.into_iter().collect()))
        .body(ByteStream::from(fs::read(file)?))
        .send()
        .await?;
    Ok(Value::Null)
}

async fn upload(
    client: &Client,
    words: &Words,
    file: &Path,
    algorithm: Option<ChecksumAlgorithm>,
) -> Result<Value> {
    let (bucket, key) = (words.text("bucket")?, words.text("key")?);
    let begun = client
        .create_multipart_upload()
        .bucket(bucket)
        .key(key)
        .set_checksum_algorithm(algorithm.clone())
        .send()
        .await?;
    let upload = begun.upload_id().context("an upload id")?;
    let body = fs::read(file)?;
    let mut parts = Vec::new();
    for (number, bytes) in (1..).zip(body.chunks(PART)) {
        let part = client
            .upload_part()
            .bucket(bucket)
            .key(key)
            .upload_id(upload)
            .part_number(number)
            .set_checksum_algorithm(algorithm.clone())
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(part.e_tag)
            .set_checksum_crc32(part.checksum_crc32)
            .set_checksum_crc32_c(part.checksum_crc32_c)
            .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
            .set_checksum_sha1(part.checksum_sha1)
            .set_checksum_sha256(part.checksum_sha256);
        parts.push(part.build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
    client
        .complete_multipart_upload()
        .bucket(bucket)
        .key(key)
        .upload_id(upload)
        .multipart_upload(parts.build())
        .send()
        .await?;
    Ok(Value::Null)
}

async fn put_guarded(client: &Client, words: &Words) -> Result<Value> {
    let request = client
        .put_object()
        .bucket(words.text("bucket")?)
        .key(words.text("key")?)
        .body(ByteStream::from(fs::read(words.file()?)?));
    let request = match words.verb()? {
        "wrong_checksum" => request.checksum_crc32("AAAAAA=="),
        "put_if_absent" => request.if_none_match("*"),
        _ => request.if_match(words.text("tag")?),
    };
    match request.send().await {
        Ok(_) => Ok(json!(true)),
        Err(error) if error.code() == Some("PreconditionFailed") => Ok(json!(false)),
        Err(error) => Err(error.into()),
    }
}

async fn read(client: &Client, words: &Words) -> Result<Value> {
    let bucket = words.text("bucket")?;
    if words.verb()? == "list" {
        let mut pages = client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(words.text("prefix")?)
            .max_keys(7)
            .into_paginator()
            .send();
        let mut entries = Vec::new();
        while let Some(page) = pages.try_next().await? {
            entries.extend(page.contents.unwrap_or_default());
        }
        let pairs = entries
            .iter()
            .map(|entry| json!([entry.key(), entry.size()]));
        return Ok(pairs.collect());
    }
    let key = words.text("key")?;
    if words.verb()? == "metadata" {
        let head = client.head_object().bucket(bucket).key(key).send().await?;
        return Ok(json!(head.metadata()));
    }
    let mut request = client.get_object().bucket(bucket).key(key);
    if words.verb()? == "presign" {
        let minutes = PresigningConfig::expires_in(Duration::from_secs(300))?;
        return Ok(json!(request.presigned(minutes).await?.uri()));
    }
    if words.verb()? == "range" {
        let (first, last) = (words.number("first")?, words.number("last")?);
        request = request.range(format!("bytes={first}-{last}"));
    }
    let body = request.send().await?.body.collect().await?;
    fs::write(words.file()?, body.into_bytes())?;
    Ok(Value::Null)
}

async fn change(client: &Client, words: &Words) -> Result<Value> {
    let bucket = words.text("bucket")?;
    match words.verb()? {
        "delete" => {
            let request = client.delete_object().bucket(bucket);
            request.key(words.text("key")?).send().await?;
        }
        "copy" => {
            let source = format!("{bucket}/{}", words.text("key")?);
            let request = client.copy_object().bucket(bucket).key(words.text("new")?);
            request.copy_source(encoded(&source)).send().await?;
        }
        _ => {
            let keys = words.texts("keys")?;
            let named = keys
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build());
            let named = named.collect::<Result<Vec<_>, _>>()?;
            let delete = Delete::builder().set_objects(Some(named)).build()?;
            let request = client.delete_objects().bucket(bucket).delete(delete);
            let told = request.send().await?;
            anyhow::ensure!(told.errors().is_empty(), "{:?}", told.errors());
        }
    }
    Ok(Value::Null)
}

async fn tags(client: &Client, words: &Words) -> Result<Value> {
    let (bucket, key) = (words.text("bucket")?, words.text("key")?);
    if words.verb()? == "tags" {
        let told = client.get_object_tagging().bucket(bucket).key(key);
        let told = told.send().await?;
        let pairs: BTreeMap<_, _> = told
            .tag_set()
            .iter()
            .map(|tag| (tag.key(), tag.value()))
            .collect();
        return Ok(json!(pairs));
    }
    let pairs = words.pairs("tags")?.into_iter();
    let tags = pairs.map(|(name, value)| Tag::builder().key(name).value(value).build());
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    let tagging = Tagging::builder().set_tag_set(Some(tags)).build()?;
    let request = client.put_object_tagging().bucket(bucket).key(key);
    request.tagging(tagging).send().await?;
    Ok(Value::Null)
}

/// As a copy source must be sent: percent-encoded, but for the slashes.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
