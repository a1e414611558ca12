//! Listings against a model: a sorted set of names.

use crate::load;
use crate::scheme::{Reach, over_both};
use crate::support;
use aws_sdk_s3::Client;
use aws_sdk_s3::types::EncodingType;
use std::collections::BTreeSet;
use strongroom_tests::Content;

over_both![
    listings_agree_with_the_model,
    listings_start_after_any_name,
    unprintable_names_are_names,
    hostile_names_do_not_collide,
];

/// Names that break a parser, an escape, a path, an order or a limit somewhere.
fn hostile_keys() -> Vec<String> {
    let keys = [
        "a",
        "a/",
        "a//",
        "a//b",
        "a/b",
        "a/b/c",
        "a/b/d",
        "a b",
        "a+b",
        "a%2Fb",
        "a%",
        "%00",
        "a&b",
        "<a>",
        "a\"b'c",
        "a?b=c",
        "a#b",
        "a\\b",
        "a:b",
        "a;b",
        "a,b",
        "a=b",
        "a~b",
        "a*b",
        "a|b",
        "[a]",
        "{a}",
        "^a",
        "`a`",
        "$a",
        ".",
        "..",
        "../a",
        "a/../b",
        "./a",
        "a/.",
        "/",
        "//",
        "/a",
        "Ä",
        "ä",
        "ü/ö",
        "日本/語",
        "😀",
        "😀/😀",
        "é",
        "e\u{301}",
        "\u{fffd}",
        "\u{200b}",
        "\u{ffee}",
        "z",
        "zz",
        "zz/",
        "~",
        "A",
        "B/",
        "data/train-000000.tar",
        "data/train-000001.tar",
        "data/val-000000.tar",
        "data",
        "data-2",
    ];
    let long = [
        "x".repeat(1024),
        format!("{}/{}", "p".repeat(500), "q".repeat(523)),
        "ß".repeat(512),
    ];
    keys.into_iter().map(str::to_owned).chain(long).collect()
}

/// Names that XML cannot carry; a listing shows them url-encoded only.
fn unprintable_keys() -> Vec<String> {
    [
        "tab\there",
        "line\nbreak",
        "return\rhere",
        "bell\u{7}",
        "nul\0middle",
        "nul\0",
        "\u{1f}",
        "\u{7f}",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect()
}

/// What a listing should show.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Object(String),
    Prefix(String),
}

#[derive(Clone, Debug)]
struct Question {
    prefix: String,
    delimiter: Option<String>,
    after: Option<String>,
    page: i32,
    encoded: bool,
}

fn model(keys: &BTreeSet<String>, question: &Question) -> Vec<Entry> {
    let mut entries = Vec::new();
    for key in keys {
        if question.after.as_ref().is_some_and(|after| key <= after) {
            continue;
        }
        let Some(rest) = key.strip_prefix(&question.prefix) else {
            continue;
        };
        let cut = question
            .delimiter
            .as_ref()
            .and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len()));
        let entry = match cut {
            Some(cut) => Entry::Prefix(format!("{}{}", question.prefix, &rest[..cut])),
            None => Entry::Object(key.clone()),
        };
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    }
    entries
}

/// Pages through ListObjectsV2, checking each page's own promises.
async fn listed(client: &Client, bucket: &str, question: &Question) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..1_000 {
        let request = client
            .list_objects_v2()
            .bucket(bucket)
            .prefix(&question.prefix)
            .max_keys(question.page);
        let request = request
            .set_delimiter(question.delimiter.clone())
            .set_continuation_token(token.take());
        let request = request.set_start_after(question.after.clone());
        let request = request.set_encoding_type(question.encoded.then_some(EncodingType::Url));
        let page = request.send().await.map_err(support::refusal);
        let page = page.unwrap_or_else(|error| panic!("{question:?}: {error:?}"));
        let read = |text: &str| {
            if question.encoded {
                decode(text)
            } else {
                text.to_owned()
            }
        };
        let objects = page.contents().iter().filter_map(|object| object.key());
        let prefixes = page
            .common_prefixes()
            .iter()
            .filter_map(|prefix| prefix.prefix());
        let mut shown: Vec<_> = objects
            .map(|key| (read(key), Entry::Object(read(key))))
            .collect();
        shown.extend(prefixes.map(|prefix| (read(prefix), Entry::Prefix(read(prefix)))));
        shown.sort_by(|(left, _), (right, _)| left.cmp(right));
        let count = i32::try_from(shown.len()).expect("a page");
        assert!(count <= question.page, "{count} on a page of {question:?}");
        assert_eq!(page.key_count(), Some(count), "{question:?}");
        entries.extend(shown.into_iter().map(|(_, entry)| entry));
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()), "{question:?}");
        if token.is_none() {
            return entries;
        }
        assert_eq!(
            count, question.page,
            "a page before the last is full: {question:?}"
        );
    }
    panic!("the listing does not end: {question:?}");
}

/// Pages through ListObjects as old clients do.
async fn listed_v1(client: &Client, bucket: &str, question: &Question) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut marker = question.after.clone();
    for _ in 0..1_000 {
        let request = client
            .list_objects()
            .bucket(bucket)
            .prefix(&question.prefix)
            .max_keys(question.page);
        let request = request
            .set_delimiter(question.delimiter.clone())
            .set_marker(marker.take());
        let page = request.send().await.map_err(support::refusal);
        let page = page.unwrap_or_else(|error| panic!("{question:?}: {error:?}"));
        let objects = page.contents().iter().filter_map(|object| object.key());
        let prefixes = page
            .common_prefixes()
            .iter()
            .filter_map(|prefix| prefix.prefix());
        let mut shown: Vec<_> = objects
            .map(|key| (key, Entry::Object(key.to_owned())))
            .collect();
        shown.extend(prefixes.map(|prefix| (prefix, Entry::Prefix(prefix.to_owned()))));
        shown.sort_by_key(|(name, _)| *name);
        let last = shown.last().map(|(name, _)| (*name).to_owned());
        entries.extend(shown.into_iter().map(|(_, entry)| entry));
        if page.is_truncated() != Some(true) {
            return entries;
        }
        marker = page.next_marker().map(str::to_owned).or(last);
    }
    panic!("the listing does not end: {question:?}");
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16)
                    .expect("hexadecimal")
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("a key is UTF-8")
}

/// Every listing shows exactly what is there, in order, once, whatever the names, and however it is paged.
/// Method: hostile names against the model, over prefixes × delimiters × page sizes × starts × encodings.
async fn listings_agree_with_the_model(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let keys = hostile_keys();
    fill(&client, &bucket, &keys).await;
    let model_keys: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(model_keys.len(), keys.len(), "the names differ");

    let mut asked = 0;
    for prefix in [
        "", "a", "a/", "a//", "data/", "zz", "日", "p", "nowhere", "/", "é", "e", "%", "ß",
    ] {
        for delimiter in [
            None,
            Some("/"),
            Some("a"),
            Some("//"),
            Some("日本"),
            Some("%"),
        ] {
            for page in [1_000, 7, 1] {
                let encoded = asked % 2 == 0;
                let (prefix, delimiter) = (prefix.to_owned(), delimiter.map(str::to_owned));
                let question = Question {
                    prefix,
                    delimiter,
                    after: None,
                    page,
                    encoded,
                };
                let expected = model(&model_keys, &question);
                if page == 1 && expected.len() > 12 {
                    continue;
                }
                assert_eq!(
                    listed(&client, &bucket, &question).await,
                    expected,
                    "{question:?}"
                );
                if page != 7 {
                    assert_eq!(
                        listed_v1(&client, &bucket, &question).await,
                        expected,
                        "v1 {question:?}"
                    );
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 150, "only {asked} questions");
}

/// A listing starts right behind any name, whether it exists or not.
async fn listings_start_after_any_name(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let keys = hostile_keys();
    fill(&client, &bucket, &keys).await;
    let model_keys: BTreeSet<String> = keys.iter().cloned().collect();
    let between = [
        "\u{1}",
        "a/a",
        "a/b/",
        "aa",
        "data/train",
        "日本",
        "\u{10ffff}",
        "ß",
    ]
    .map(str::to_owned);
    for after in keys.iter().chain(&between) {
        let question = Question {
            prefix: String::new(),
            delimiter: None,
            after: Some(after.clone()),
            page: 1_000,
            encoded: true,
        };
        let expected = model(&model_keys, &question);
        assert_eq!(
            listed(&client, &bucket, &question).await,
            expected,
            "{question:?}"
        );
        let question = Question {
            encoded: false,
            page: 50,
            ..question
        };
        assert_eq!(
            listed_v1(&client, &bucket, &question).await,
            expected,
            "v1 {question:?}"
        );
    }
}

/// Names that XML cannot carry are kept, read, listed url-encoded, and deleted like any other.
async fn unprintable_names_are_names(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let keys = unprintable_keys();
    fill(&client, &bucket, &keys).await;
    let model_keys: BTreeSet<String> = keys.iter().cloned().collect();
    for page in [1, 3, 1_000] {
        let question = Question {
            prefix: String::new(),
            delimiter: None,
            after: None,
            page,
            encoded: true,
        };
        assert_eq!(
            listed(&client, &bucket, &question).await,
            model(&model_keys, &question)
        );
    }
    for key in &keys {
        support::delete(&client, &bucket, key)
            .await
            .expect("it is deleted");
    }
    assert_eq!(load::listed(&client, &bucket).await, [""; 0]);
}

/// Hostile names lead to their own object and to no other.
async fn hostile_names_do_not_collide(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let keys = hostile_keys();
    fill(&client, &bucket, &keys).await;
    for (seed, key) in keys.iter().enumerate() {
        support::check(&client, &bucket, key, named_content(seed))
            .await
            .unwrap();
    }
    let refused = support::put(&client, &bucket, &"x".repeat(1025), Content::new(0, 1)).await;
    let refused = refused.expect_err("a name of 1025 bytes is refused");
    assert!(refused.is(400, "KeyTooLongError"), "{refused:?}");
}

fn named_content(seed: usize) -> Content {
    Content::new(seed as u64, 16 + seed as u64)
}

async fn fill(client: &Client, bucket: &str, keys: &[String]) {
    for (seed, key) in keys.iter().enumerate() {
        let stored = support::put(client, bucket, key, named_content(seed)).await;
        stored.unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
    }
}
