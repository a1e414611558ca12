"""What boto3 does to an S3 server, over http and over https.

The two differ on the wire: over http it sends a SHA-256 of the body; over https aws-chunked transfer coding
with a CRC in the trailer and no Content-Length.
"""

import hashlib
import io
import os
import random

import pytest
import urllib3
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from conftest import endpoint, make_client

KIB, MIB = 1024, 1024 * 1024
CHUNK = 4 * MIB


def content(length, seed=0):
    return random.Random(seed * 1_000_003 + length).randbytes(length)


def code(error):
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"], error.value.response["Error"]["Code"]


@pytest.mark.parametrize("edge", [0, 4 * KIB, 64 * KIB, MIB, CHUNK, 3 * CHUNK])
def test_sizes(s3, bucket, edge):
    """What went in comes out, and its ETag is its MD5, around each boundary of the layout."""
    for length in [edge - 1, edge, edge + 1] if edge else [0, 1]:
        body = content(length)
        put = s3.put_object(Bucket=bucket, Key="k", Body=body)
        got = s3.get_object(Bucket=bucket, Key="k")
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        assert (put["ETag"], got["ETag"], got["ContentLength"]) == (tag, tag, length)
        assert got["Body"].read() == body


def test_files(s3, bucket, tmp_path):
    """upload_file, which uploads in parallel parts, and download_file, which reads in parallel ranges."""
    body = content(40 * MIB + 5)
    (tmp_path / "up").write_bytes(body)
    s3.upload_file(str(tmp_path / "up"), bucket, "dir/file")
    s3.download_file(bucket, "dir/file", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == body


def test_empty_then_more(scheme, bucket):
    """After an empty upload, the same connection takes a full one. An upload that announces itself with
    `Expect: 100-continue` and is answered without that 100 leaves botocore's connection confused: it must
    not be used again."""
    s3 = make_client(scheme, max_pool_connections=1, read_timeout=10)
    body = content(100_000)
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"empty-{number}", Body=io.BytesIO(b""))
        s3.put_object(Bucket=bucket, Key=f"full-{number}", Body=io.BytesIO(body))
        assert s3.get_object(Bucket=bucket, Key=f"full-{number}")["Body"].read() == body


def test_streams(s3, bucket):
    """A body that can be read but not measured up front is uploaded all the same."""
    body = content(3 * MIB + 1)
    s3.upload_fileobj(io.BytesIO(body), bucket, "stream")
    assert s3.get_object(Bucket=bucket, Key="stream")["Body"].read() == body


def test_ranges(s3, bucket):
    """Ranges across each boundary, open-ended, as suffix, clamped, and beyond the end."""
    body = content(CHUNK + 70_000)
    last = len(body) - 1
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    for edge in [1, 4 * KIB, 64 * KIB, MIB, CHUNK]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={edge - 1}-{edge + 1}")
        assert got["Body"].read() == body[edge - 1 : edge + 2]
        assert got["ContentRange"] == f"bytes {edge - 1}-{edge + 1}/{len(body)}"
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    for asked, expected in [
        ("bytes=5-", body[5:]),
        ("bytes=-9", body[-9:]),
        (f"bytes={last - 2}-{last + 1000}", body[-3:]),
    ]:
        assert s3.get_object(Bucket=bucket, Key="k", Range=asked)["Body"].read() == expected
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={last + 1}-")
    assert code(refused) == (416, "InvalidRange")


def test_metadata(s3, bucket):
    """User metadata and content headers come back from HEAD and GET."""
    given = {
        "ContentType": "application/x-tar",
        "ContentEncoding": "identity",
        "ContentLanguage": "fr",
        "ContentDisposition": "inline",
        "CacheControl": "no-store",
        "Metadata": {"set": "kitti", "note": "a  b"},
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **given)
    for answer in [s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")]:
        assert {name: answer[name] for name in given} == given


def test_listing(s3, bucket):
    """Hostile names, paged, with and without a delimiter, in both versions of the listing."""
    names = ["a/b/c", "a/b+c", "a/ü", "a b", "%2F", "..", "<&>", "tab\there", "日本/語", "z" * 1024]
    names += [f"many/{number:04}" for number in range(25)]
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=b"")
    in_order = sorted(names, key=lambda name: name.encode())
    for method in ["list_objects_v2", "list_objects"]:
        for size in [1000, 7]:
            pages = s3.get_paginator(method).paginate(Bucket=bucket, PaginationConfig={"PageSize": size})
            assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == in_order
        pages = list(s3.get_paginator(method).paginate(Bucket=bucket, Delimiter="/"))
        prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
        assert prefixes == ["a/", "many/", "日本/"]
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        assert keys == [name for name in in_order if "/" not in name]
    empty = s3.list_objects_v2(Bucket=bucket, Prefix="", Delimiter="", StartAfter="zzz" * 300)
    assert empty["KeyCount"] == 2  # z…z (1024 of them) and 日本/語


def test_delete_many(s3, bucket):
    """DeleteObjects deletes what it names and nothing else."""
    for number in range(10):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    objects = [{"Key": f"k{number}"} for number in range(0, 10, 2)] + [{"Key": "never"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert len(answer["Deleted"]) == 6 and "Errors" not in answer
    left = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert left == ["k1", "k3", "k5", "k7", "k9"]


def test_errors(s3, bucket):
    """An error has S3's code, its status, and a request id of its own."""
    ids = set()
    for call, expected in [
        (lambda: s3.get_object(Bucket=bucket, Key="missing"), (404, "NoSuchKey")),
        (lambda: s3.get_object(Bucket="no-such-bucket-1", Key="k"), (404, "NoSuchBucket")),
        (lambda: s3.list_objects_v2(Bucket="no-such-bucket-1"), (404, "NoSuchBucket")),
        (lambda: s3.head_object(Bucket=bucket, Key="missing"), (404, "404")),
        (lambda: s3.head_bucket(Bucket="no-such-bucket-1"), (404, "404")),
    ]:
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == expected
        ids.add(refused.value.response["ResponseMetadata"]["RequestId"])
    assert len(ids) == 5 and "" not in ids


def test_unsigned(scheme, s3, bucket):
    """Anonymous requests get nothing."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret")
    nobody = make_client(scheme, signature_version=UNSIGNED)
    for call in [
        lambda: nobody.get_object(Bucket=bucket, Key="k"),
        lambda: nobody.put_object(Bucket=bucket, Key="k", Body=b"planted"),
        lambda: nobody.list_objects_v2(Bucket=bucket),
        lambda: nobody.list_buckets(),
    ]:
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) == (403, "AccessDenied")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"secret"


def test_presigned(scheme, s3, bucket):
    """A presigned URL serves what was signed, to any HTTP client. boto3 must be told to sign it by version
    4: for this region it still presigns by version 2, which is refused."""
    body = content(200_000)
    s3.put_object(Bucket=bucket, Key="a b/ü", Body=body)
    old = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü"})
    assert "AWSAccessKeyId" in old and fetch("GET", old).status == 403
    s3 = make_client(scheme, signature_version="s3v4")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b/ü"})
    answer = fetch("GET", url)
    assert (answer.status, answer.data) == (200, body)
    assert fetch("GET", url.replace("a%20b", "a%20c")).status == 403
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "new"})
    assert fetch("PUT", url, body=b"fresh").status == 200
    assert s3.get_object(Bucket=bucket, Key="new")["Body"].read() == b"fresh"


@pytest.mark.parametrize("length", [100, 300_000])
def test_tampered_body(scheme, s3, bucket, length):
    """A body that is not the one that was signed is refused, and leaves nothing."""
    honest, forged = content(length), content(length, seed=1)
    request = AWSRequest("PUT", f"{endpoint(scheme)}/{bucket}/k", data=honest)
    request.headers["X-Amz-Content-SHA256"] = hashlib.sha256(honest).hexdigest()
    SigV4Auth(s3._request_signer._credentials, "s3", "us-east-1").add_auth(request)
    signed = request.prepare()
    assert fetch("PUT", signed.url, body=forged, headers=dict(signed.headers)).status in (400, 403)
    with pytest.raises(ClientError) as refused:
        s3.get_object(Bucket=bucket, Key="k")
    assert code(refused) == (404, "NoSuchKey")
    assert fetch("PUT", signed.url, body=honest, headers=dict(signed.headers)).status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == honest


@pytest.mark.parametrize("wrong", [{"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {"ChecksumCRC32": "AAAAAA=="}])
@pytest.mark.parametrize("length", [100, 300_000])
def test_wrong_checksum(s3, bucket, wrong, length):
    """A body that does not fit the checksum sent with it is refused, and leaves nothing."""
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key="k", Body=content(length), **wrong)
    assert code(refused) == (400, "BadDigest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_right_checksum(s3, bucket, algorithm):
    """Each checksum that boto3 computes by itself is taken, in a header or a trailer."""
    body = content(MIB + 1)
    s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm=algorithm)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


def fetch(method, url, **arguments):
    with urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"], retries=False) as pool:
        return pool.request(method, url, **arguments)
