//! The crate `object_store`, on which DataFusion, Delta Lake and Lance stand, as a client of the matrix.

mod conversation;

use anyhow::{Result, bail};
use conversation::{Place, Words};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    Attribute, Attributes, Certificate, ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const PART: usize = 5 * 1024 * 1024;
const PIECE: usize = 100_000;

const VERBS: [&str; 15] = [
    "put",
    "upload",
    "stream",
    "get",
    "range",
    "list",
    "delete",
    "delete_many",
    "copy",
    "put_metadata",
    "metadata",
    "checksum",
    "put_if_absent",
    "put_if_match",
    "presign",
];
const ALGORITHMS: [&str; 2] = ["SHA256", "CRC64NVME"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let place = Place::read()?;
    conversation::serve(&VERBS, &ALGORITHMS, async |words: &Words| {
        answer(&place, words).await
    })
    .await
}

fn store(place: &Place, words: &Words) -> Result<AmazonS3> {
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_root_certificate(Certificate::from_pem(&place.authority)?);
    let builder = AmazonS3Builder::new()
        .with_endpoint(&place.endpoint)
        .with_region("us-east-1")
        .with_bucket_name(words.text("bucket")?)
        .with_access_key_id(&place.access_key)
        .with_secret_access_key(&place.secret_key)
        .with_client_options(options)
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        });
    let builder = match words.text("algorithm") {
        Ok("SHA256") => builder.with_checksum_algorithm(Checksum::SHA256),
        Ok("CRC64NVME") => builder.with_checksum_algorithm(Checksum::CRC64NVME),
        _ => builder,
    };
    Ok(builder.build()?)
}

async fn answer(place: &Place, words: &Words) -> Result<Value> {
    let store = store(place, words)?;
    match words.verb()? {
        "list" => return list(&store, words).await,
        "delete_many" => {
            let keys = words.texts("keys")?.into_iter();
            let paths = keys.map(|key| Ok(Path::parse(key)?)).collect::<Vec<_>>();
            let gone = store.delete_stream(stream::iter(paths).boxed());
            gone.try_collect::<Vec<_>>().await?;
            return Ok(Value::Null);
        }
        _ => {}
    }
    let path = Path::parse(words.text("key")?)?;
    match words.verb()? {
        "put" | "put_metadata" | "put_if_absent" | "put_if_match" => {
            put(&store, &path, words).await
        }
        "upload" | "stream" | "checksum" => stream(store, path, words).await,
        "get" => {
            let body = store.get(&path).await?.bytes().await?;
            fs::write(words.file()?, body)?;
            Ok(Value::Null)
        }
        "range" => {
            let range = words.number("first")?..words.number("last")? + 1;
            fs::write(words.file()?, store.get_range(&path, range).await?)?;
            Ok(Value::Null)
        }
        "metadata" => {
            let told = store.get(&path).await?.attributes;
            let pairs = told.iter().filter_map(|(name, value)| match name {
                Attribute::Metadata(name) => Some((name.to_string(), json!(value.as_ref()))),
                _ => None,
            });
            Ok(Value::Object(pairs.collect()))
        }
        "delete" => {
            store.delete(&path).await?;
            Ok(Value::Null)
        }
        "copy" => {
            store.copy(&path, &Path::parse(words.text("new")?)?).await?;
            Ok(Value::Null)
        }
        "presign" => {
            let minutes = Duration::from_secs(300);
            let url = store.signed_url(http::Method::GET, &path, minutes).await?;
            Ok(json!(url.as_str()))
        }
        verb => bail!("no verb {verb}"),
    }
}

async fn list(store: &AmazonS3, words: &Words) -> Result<Value> {
    let prefix = Path::parse(words.text("prefix")?)?;
    let entries: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
    let pairs = entries
        .iter()
        .map(|entry| json!([entry.location.as_ref(), entry.size]));
    Ok(pairs.collect())
}

async fn put(store: &AmazonS3, path: &Path, words: &Words) -> Result<Value> {
    let mut attributes = Attributes::new();
    for (name, value) in words.pairs("metadata").unwrap_or_default() {
        attributes.insert(Attribute::Metadata(name.into()), value.into());
    }
    let mode = match words.verb()? {
        "put_if_absent" => PutMode::Create,
        "put_if_match" => PutMode::Update(UpdateVersion {
            e_tag: Some(words.text("tag")?.to_owned()),
            version: None,
        }),
        _ => PutMode::Overwrite,
    };
    let options = PutOptions {
        mode,
        attributes,
        ..PutOptions::default()
    };
    let body = PutPayload::from(fs::read(words.file()?)?);
    match store.put_opts(path, body, options).await {
        Ok(_) => Ok(json!(true)),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(json!(false)),
        Err(error) => Err(error.into()),
    }
}

/// In parts from 5 MiB on, by one PUT below.
async fn stream(store: AmazonS3, path: Path, words: &Words) -> Result<Value> {
    let mut writer = BufWriter::with_capacity(Arc::new(store), path, PART);
    for piece in fs::read(words.file()?)?.chunks(PIECE) {
        writer.write_all(piece).await?;
    }
    writer.shutdown().await?;
    Ok(Value::Null)
}
