//! Multipart uploads with a real client: what its parts were is what comes back.

use crate::scheme::{Reach, over_both};
use crate::support::{self, CHUNK, MIB, SEGMENT};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::complete_multipart_upload::CompleteMultipartUploadOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ObjectAttributes,
};
use futures::future::join_all;
use strongroom_tests::Content;

over_both![
    parts_make_the_object,
    what_was_not_completed_is_not_there,
    completions_race,
    every_checksum_travels,
];

/// The least that a part has unless it is the last.
const PART: u64 = 5 * MIB;

/// An upload under way.
pub(crate) struct Upload<'a> {
    client: &'a Client,
    bucket: &'a str,
    key: &'a str,
    pub(crate) id: String,
}

impl<'a> Upload<'a> {
    pub(crate) async fn begin(
        client: &'a Client,
        bucket: &'a str,
        key: &'a str,
        checksum: Option<(ChecksumAlgorithm, ChecksumType)>,
    ) -> Self {
        let (algorithm, kind) = checksum.unzip();
        let begun = client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key)
            .set_checksum_algorithm(algorithm)
            .set_checksum_type(kind)
            .send()
            .await
            .map_err(support::refusal)
            .expect("the upload begins");
        let id = begun.upload_id().expect("an id").to_owned();
        Self {
            client,
            bucket,
            key,
            id,
        }
    }

    /// Uploads a part, and what a completion says of it.
    async fn part(
        &self,
        number: i32,
        body: Vec<u8>,
        algorithm: Option<ChecksumAlgorithm>,
    ) -> CompletedPart {
        let put = self
            .client
            .upload_part()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(&self.id)
            .part_number(number)
            .set_checksum_algorithm(algorithm)
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(support::refusal)
            .expect("the part is accepted");
        CompletedPart::builder()
            .part_number(number)
            .set_e_tag(put.e_tag)
            .set_checksum_crc32(put.checksum_crc32)
            .set_checksum_crc32_c(put.checksum_crc32_c)
            .set_checksum_crc64_nvme(put.checksum_crc64_nvme)
            .set_checksum_sha1(put.checksum_sha1)
            .set_checksum_sha256(put.checksum_sha256)
            .build()
    }

    pub(crate) async fn complete(
        &self,
        mut parts: Vec<CompletedPart>,
    ) -> Result<CompleteMultipartUploadOutput, support::Refusal> {
        parts.sort_by_key(CompletedPart::part_number);
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts));
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(self.bucket)
            .key(self.key)
            .upload_id(&self.id)
            .multipart_upload(parts.build())
            .send();
        completed.await.map_err(support::refusal)
    }
}

/// The bytes of `content` from `from` on, `length` of them.
fn cut(content: Content, from: u64, length: u64) -> Vec<u8> {
    content.range(from..from + length)
}

async fn listed(client: &Client, bucket: &str) -> Vec<String> {
    let list = client.list_multipart_uploads().bucket(bucket).send().await;
    let list = list.map_err(support::refusal).expect("they are listed");
    let keys = list.uploads().iter().filter_map(|upload| upload.key());
    keys.map(str::to_owned).collect()
}

/// Parts of any sizes, sent at once and in any order, some of them twice, make exactly the object; and ranges
/// come across the borders of its parts.
/// Method: sizes around segments and chunks; the last part first; then each border by a range, and the whole.
async fn parts_make_the_object(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    for (key, sizes) in [
        ("one", vec![1]),
        ("whole", vec![PART, PART]),
        ("chunks", vec![2 * CHUNK, 2 * CHUNK + 1, 2 * CHUNK - 1, 3]),
        (
            "segments",
            vec![PART + SEGMENT - 1, PART + SEGMENT + 1, PART, 70_000],
        ),
        ("crt", vec![8 * MIB, 8 * MIB, 8 * MIB, MIB]),
    ] {
        let content = Content::new(sizes.len() as u64, sizes.iter().sum());
        let upload = Upload::begin(&client, &bucket, key, None).await;
        upload.part(1, b"in vain".to_vec(), None).await;
        let mut from = 0;
        let mut parts = Vec::new();
        let mut borders = Vec::new();
        for (number, size) in (1..).zip(&sizes) {
            parts.push(upload.part(number, cut(content, from, *size), None));
            from += size;
            borders.push(from);
        }
        parts.reverse();
        let parts = join_all(parts).await;
        assert_eq!(listed(&client, &bucket).await, [key]);
        let completed = upload.complete(parts).await.expect("it is completed");
        let etag = completed.e_tag().expect("an ETag");
        assert!(etag.ends_with(&format!("-{}\"", sizes.len())), "{etag}");
        let head = support::head(&client, &bucket, key).await.expect("there");
        assert_eq!(head.e_tag(), Some(etag));
        support::check(&client, &bucket, key, content)
            .await
            .unwrap();
        for border in borders {
            let first = border.saturating_sub(100_000);
            let last = (border + 10).min(content.length - 1);
            let got = client
                .get_object()
                .bucket(&bucket)
                .key(key)
                .range(format!("bytes={first}-{last}"))
                .send()
                .await
                .map_err(support::refusal)
                .expect("the range is there");
            let bytes = got.body.collect().await.expect("it arrives").into_bytes();
            assert_eq!(bytes.len() as u64, last - first + 1);
            assert_eq!(
                content.first_wrong(first, &bytes),
                None,
                "{key} at {border}"
            );
        }
    }
}

/// An upload shows nothing before it is completed, and nothing at all once it is aborted.
/// Method: look for the object and the upload before, after an abort, and after parts that were left out.
async fn what_was_not_completed_is_not_there(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let upload = Upload::begin(&client, &bucket, "k", None).await;
    let part = upload.part(3, vec![3; 100_000], None).await;
    let gone = support::head(&client, &bucket, "k").await.expect_err("no");
    assert_eq!(gone.status, Some(404));
    let abort = || {
        let abort = client.abort_multipart_upload().bucket(&bucket).key("k");
        abort.upload_id(&upload.id).send()
    };
    abort().await.map_err(support::refusal).expect("aborted");
    assert!(listed(&client, &bucket).await.is_empty());
    let again = abort().await.map_err(support::refusal).expect_err("gone");
    assert!(again.is(404, "NoSuchUpload"), "{again:?}");
    let late = upload.complete(vec![part]).await.expect_err("gone");
    assert!(late.is(404, "NoSuchUpload"), "{late:?}");

    let upload = Upload::begin(&client, &bucket, "k", None).await;
    upload.part(1, vec![1; 50_000], None).await;
    let chosen = upload.part(2, vec![2; 60_000], None).await;
    upload.complete(vec![chosen]).await.expect("completed");
    let head = support::head(&client, &bucket, "k").await.expect("there");
    assert_eq!(head.content_length(), Some(60_000));
    client
        .delete_object()
        .bucket(&bucket)
        .key("k")
        .send()
        .await
        .expect("deleted");
    client
        .delete_bucket()
        .bucket(&bucket)
        .send()
        .await
        .map_err(support::refusal)
        .expect("nothing is left in it");
}

/// Of completions that race, each object is one upload's, whole; one upload that is completed many times at
/// once is completed once, and everybody is told so.
/// Method: four uploads of one key, each completed three times, all at the same time.
async fn completions_race(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let mut uploads = Vec::new();
    for seed in 0..4 {
        let content = Content::new(seed, PART + 1000 * (seed + 1));
        let upload = Upload::begin(&client, &bucket, "k", None).await;
        let parts = vec![
            upload.part(1, cut(content, 0, PART), None).await,
            upload
                .part(2, cut(content, PART, content.length - PART), None)
                .await,
        ];
        uploads.push((upload, parts, content));
    }
    let racing = uploads
        .iter()
        .flat_map(|(upload, parts, _)| (0..3).map(move |_| upload.complete(parts.clone())));
    let outcomes = join_all(racing).await;
    for (three, (.., content)) in outcomes.chunks(3).zip(&uploads) {
        assert!(three.iter().any(Result::is_ok), "{three:?} of {content:?}");
        for outcome in three {
            // Another upload took the object's place before this one was asked again.
            let lost = outcome.as_ref().is_err_and(|no| no.is(404, "NoSuchUpload"));
            assert!(outcome.is_ok() || lost, "{outcome:?}");
        }
    }
    let head = support::head(&client, &bucket, "k").await.expect("there");
    let length = head.content_length();
    let winner = uploads
        .iter()
        .find(|(.., content)| i64::try_from(content.length).ok() == length);
    let (.., content) = winner.expect("one of them");
    support::check(&client, &bucket, "k", *content)
        .await
        .unwrap();
    assert!(listed(&client, &bucket).await.is_empty());
}

/// The client computes a checksum of each part as it sends it, and is told the object's.
/// Method: each algorithm and kind; the client verifies what it downloads against what it is told.
async fn every_checksum_travels(reach: Reach) {
    let (client, bucket) = reach.with_bucket().await;
    let content = Content::new(5, PART + 12_345);
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32C, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc32C, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject),
        (ChecksumAlgorithm::Sha1, ChecksumType::Composite),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
    ] {
        let choice = Some((algorithm.clone(), kind.clone()));
        let upload = Upload::begin(&client, &bucket, "k", choice).await;
        let parts = vec![
            upload
                .part(1, cut(content, 0, PART), Some(algorithm.clone()))
                .await,
            upload
                .part(2, cut(content, PART, 12_345), Some(algorithm.clone()))
                .await,
        ];
        let completed = upload.complete(parts).await.expect("it is completed");
        assert_eq!(completed.checksum_type(), Some(&kind), "{algorithm}");
        let get = client.get_object().bucket(&bucket).key("k");
        let got = get.checksum_mode(ChecksumMode::Enabled).send().await;
        let got = got.map_err(support::refusal).expect("it is there");
        assert_eq!(got.checksum_type(), Some(&kind));
        let told = [
            (got.checksum_crc32(), completed.checksum_crc32()),
            (got.checksum_crc32_c(), completed.checksum_crc32_c()),
            (got.checksum_crc64_nvme(), completed.checksum_crc64_nvme()),
            (got.checksum_sha1(), completed.checksum_sha1()),
            (got.checksum_sha256(), completed.checksum_sha256()),
        ];
        assert_eq!(told.iter().filter(|(got, _)| got.is_some()).count(), 1);
        assert!(told.iter().all(|(got, completed)| got == completed));
        support::compare(got.body, content).await.unwrap();
        let known = client
            .get_object_attributes()
            .bucket(&bucket)
            .key("k")
            .object_attributes(ObjectAttributes::ObjectParts)
            .object_attributes(ObjectAttributes::ObjectSize)
            .send()
            .await
            .map_err(support::refusal)
            .expect("it is known");
        assert_eq!(known.object_size(), i64::try_from(content.length).ok());
        let parts = known.object_parts().expect("it has parts");
        assert_eq!(parts.total_parts_count(), Some(2));
        let sizes: Vec<_> = parts
            .parts()
            .iter()
            .filter_map(|part| part.size())
            .collect();
        assert_eq!(sizes, [i64::try_from(PART).unwrap(), 12_345]);
    }
}
