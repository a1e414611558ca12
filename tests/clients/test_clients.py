"""One scenario, gone through by every client over http and https.

Each test is an operation, and a column of the table in docs/s3-compatibility.md. What a client wrote is read
by the reference client, and the other way round, so that two mistakes of one client cannot hide each other.
"""

import base64
import contextlib
import hashlib
import io
import os
import tarfile
import zlib

import pytest
import urllib3
from conftest import Refused

KIB, MIB = 1024, 1024 * 1024
# Nothing, kept in a metadata row, several segments, several chunks. Every boundary is tried elsewhere.
SIZES = [0, 4 * KIB, 64 * KIB + 1, 5 * MIB - 1]
# Above every client's threshold, as the adapters set it, and no multiple of a part.
LARGE = 24 * MIB + 5
# Hostile, as far as a file system and every client's own syntax can say them.
NAMES = ["a b", "a+b", "ü", "日本/語", "deep/er/still", "%2F", "x=1&y=2", "tilde~", "semi;colon", "(paren)"]
METADATA = {"set": "kitti", "note": "two words"}


def body_of(reference, bucket, key):
    return reference.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys_of(reference, bucket):
    pages = reference.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def parts_of(reference, bucket, key):
    """How many parts an object was uploaded in, by its ETag; none when it came whole."""
    _, dash, parts = reference.head_object(Bucket=bucket, Key=key)["ETag"].strip('"').partition("-")
    return int(parts) if dash else None


def upload_parts(reference, bucket, key, body, size=5 * MIB):
    """The reference's multipart upload, its last part first."""
    upload = reference.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = []
    for number in reversed(range(1 + (len(body) - 1) // size)):
        part = reference.upload_part(
            Bucket=bucket, Key=key, UploadId=upload, PartNumber=number + 1, Body=body[number * size :][:size]
        )
        parts.append({"PartNumber": number + 1, "ETag": part["ETag"]})
    reference.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts[::-1]}
    )


@pytest.mark.verbs("make_bucket", "buckets", "remove_bucket")
def test_buckets(client, reference):
    """A bucket is made, seen, and gone when it was removed."""
    name = f"made-{os.getpid()}-{os.urandom(4).hex()}"
    client.make_bucket(bucket=name)
    reference.head_bucket(Bucket=name)
    assert name in client.buckets()
    client.remove_bucket(bucket=name)
    assert name not in [bucket["Name"] for bucket in reference.list_buckets()["Buckets"]]


@pytest.mark.verbs("put")
def test_put(client, reference, bucket, make):
    """Objects of every small kind arrive byte by byte, one replaces another. Put whole, their MD5 is their ETag."""
    for length in SIZES:
        file = make(length)
        client.put(bucket=bucket, key="k/put", file=file)
        answer = reference.get_object(Bucket=bucket, Key="k/put")
        assert answer["Body"].read() == file.read_bytes()
        md5 = hashlib.md5(file.read_bytes()).hexdigest()
        assert answer["ETag"] == f'"{md5}"' or parts_of(reference, bucket, "k/put")


@pytest.mark.verbs("get")
def test_get(client, reference, bucket, make, tmp_path):
    """Objects of every small kind come back byte by byte; what is not there gives nothing."""
    for length in SIZES:
        body = make(length).read_bytes()
        reference.put_object(Bucket=bucket, Key=f"k/{length}", Body=body)
        client.get(bucket=bucket, key=f"k/{length}", file=tmp_path / f"got-{length}")
        assert (tmp_path / f"got-{length}").read_bytes() == body
    with contextlib.suppress(Refused):  # most say so; for some, a missing key is an empty folder
        client.get(bucket=bucket, key="missing", file=tmp_path / "missing")
    assert not (tmp_path / "missing").is_file()


@pytest.mark.verbs("upload")
def test_upload(client, reference, bucket, make):
    """A large file arrives byte by byte, in several parts."""
    file = make(LARGE)
    client.upload(bucket=bucket, key="k/large", file=file)
    assert body_of(reference, bucket, "k/large") == file.read_bytes()
    assert parts_of(reference, bucket, "k/large") > 1


@pytest.mark.verbs("stream")
def test_stream(client, reference, bucket, make):
    """A body that cannot be measured up front arrives, whether it is small or large."""
    for length in [1, 100 * KIB, LARGE]:
        file = make(length)
        client.stream(bucket=bucket, key=f"k/{length}", file=file)
        assert body_of(reference, bucket, f"k/{length}") == file.read_bytes()


@pytest.mark.verbs("get")
def test_download(client, reference, bucket, make, tmp_path):
    """A multipart object comes back byte by byte, in the way that this client gets large objects."""
    file = make(LARGE)
    upload_parts(reference, bucket, "k/large", file.read_bytes())
    client.get(bucket=bucket, key="k/large", file=tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == file.read_bytes()


@pytest.mark.verbs("range")
def test_range(client, reference, bucket, make, tmp_path):
    """Ranges across each boundary, of an object put whole and of one put in parts."""
    body = make(11 * MIB).read_bytes()
    reference.put_object(Bucket=bucket, Key="k/whole", Body=body)
    upload_parts(reference, bucket, "k/parts", body)
    got = tmp_path / "got"
    for key in ["k/whole", "k/parts"]:
        for first, last in [(0, 0), (4 * KIB - 1, 4 * KIB), (64 * KIB - 1, 3 * 64 * KIB), (4 * MIB - 3, 10 * MIB + 3)]:
            client.range(bucket=bucket, key=key, first=first, last=last, file=got)
            assert got.read_bytes() == body[first : last + 1], (key, first, last)


@pytest.mark.verbs("list")
def test_list(client, reference, bucket):
    """What is under a prefix is listed whole, with its sizes, in pages or at once, and nothing else is."""
    given = [(f"set/{name}", number) for number, name in enumerate(NAMES)]
    given += [(f"set/many/{number:03}", 3) for number in range(25)]
    for key, length in [*given, ("other", 1), ("se", 1), ("set2/x", 1)]:
        reference.put_object(Bucket=bucket, Key=key, Body=bytes(length))
    assert sorted(client.list(bucket=bucket, prefix="set/")) == sorted([list(entry) for entry in given])
    assert client.list(bucket=bucket, prefix="none/") == []


@pytest.mark.verbs("delete")
def test_delete(client, reference, bucket):
    """A delete ends what it names, and nothing else."""
    for key in ["k/1", "k/2", "k/10"]:
        reference.put_object(Bucket=bucket, Key=key, Body=b"x")
    client.delete(bucket=bucket, key="k/1")
    assert keys_of(reference, bucket) == ["k/10", "k/2"]


@pytest.mark.verbs("delete_many")
def test_delete_many(client, reference, bucket):
    """One call ends all that it names, and nothing else."""
    keys = [f"k/{name}" for name in NAMES]
    for key in [*keys, "k", "l"]:
        reference.put_object(Bucket=bucket, Key=key, Body=b"x")
    client.delete_many(bucket=bucket, keys=keys)
    assert keys_of(reference, bucket) == ["k", "l"]


@pytest.mark.verbs("copy")
def test_copy(client, reference, bucket, make):
    """The server copies an object that was put whole, and one that was put in parts."""
    small, large = make(100 * KIB).read_bytes(), make(LARGE).read_bytes()
    reference.put_object(Bucket=bucket, Key="k/a b", Body=small)
    upload_parts(reference, bucket, "k/large", large)
    for key, body in [("k/a b", small), ("k/large", large)]:
        client.copy(bucket=bucket, key=key, new=f"new/{key}")
        assert body_of(reference, bucket, f"new/{key}") == body


@pytest.mark.verbs("put_metadata")
def test_put_metadata(client, reference, bucket, make):
    """User metadata given with an upload is there."""
    client.put_metadata(bucket=bucket, key="k/m", file=make(10), metadata=METADATA)
    stored = reference.head_object(Bucket=bucket, Key="k/m")["Metadata"]
    assert {name: stored.get(name) for name in METADATA} == METADATA


@pytest.mark.verbs("metadata")
def test_metadata(client, reference, bucket):
    """User metadata is told."""
    reference.put_object(Bucket=bucket, Key="k/m", Body=b"x", Metadata=METADATA)
    told = client.metadata(bucket=bucket, key="k/m")
    assert {name: told.get(name) for name in METADATA} == METADATA


@pytest.mark.verbs("checksum", "get")
def test_checksum(client, reference, bucket, make, tmp_path):
    """Every checksum that the client computes is taken, kept, and told, for small objects and for parts."""
    small, large = make(100 * KIB), make(LARGE)
    for algorithm in client.algorithms:
        client.checksum(bucket=bucket, key=algorithm, file=small, algorithm=algorithm)
        head = reference.head_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")
        assert head.get(f"Checksum{algorithm}") == checksum(algorithm, small.read_bytes()), algorithm
        client.checksum(bucket=bucket, key="large", file=large, algorithm=algorithm)
        head = reference.head_object(Bucket=bucket, Key="large", ChecksumMode="ENABLED")
        assert head.get(f"Checksum{algorithm}"), algorithm
        client.get(bucket=bucket, key="large", file=tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == large.read_bytes()


@pytest.mark.verbs("wrong_checksum")
def test_wrong_checksum(client, reference, bucket, make):
    """A body that does not fit its checksum is refused, and nothing is stored."""
    with pytest.raises(Refused) as refused:
        client.wrong_checksum(bucket=bucket, key="k/wrong", file=make(100 * KIB))
    assert "BadDigest" in str(refused.value) or "XAmzContentChecksumMismatch" in str(refused.value), refused.value
    assert keys_of(reference, bucket) == []


@pytest.mark.verbs("put_if_absent")
def test_put_if_absent(client, reference, bucket, make):
    """The first writer of a key wins, and a second one is told."""
    first, second = make(10), make(11)
    assert client.put_if_absent(bucket=bucket, key="k/once", file=first)
    assert not client.put_if_absent(bucket=bucket, key="k/once", file=second)
    assert body_of(reference, bucket, "k/once") == first.read_bytes()


@pytest.mark.verbs("put_if_match")
def test_put_if_match(client, reference, bucket, make):
    """An update of what was seen goes through; of what has changed since, it does not."""
    tag = reference.put_object(Bucket=bucket, Key="k/cas", Body=b"seen")["ETag"]
    assert client.put_if_match(bucket=bucket, key="k/cas", file=make(10), tag=tag)
    assert not client.put_if_match(bucket=bucket, key="k/cas", file=make(11), tag=tag)
    assert body_of(reference, bucket, "k/cas") == make(10).read_bytes()


@pytest.mark.verbs("set_tags", "tags")
def test_tags(client, reference, bucket):
    """Tags are set, told, and replaced as a set."""
    reference.put_object(Bucket=bucket, Key="k/t", Body=b"x", Tagging="old=1")
    assert client.tags(bucket=bucket, key="k/t") == {"old": "1"}
    tags = {"set": "kitti", "split": "train and test"}
    client.set_tags(bucket=bucket, key="k/t", tags=tags)
    stored = reference.get_object_tagging(Bucket=bucket, Key="k/t")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in stored} == tags


@pytest.mark.verbs("presign")
def test_presign(client, reference, bucket):
    """Any HTTP client gets the object by the URL that was signed, and no other by it."""
    for key in ["k/a b", "k/other"]:
        reference.put_object(Bucket=bucket, Key=key, Body=key.encode())
    url = client.presign(bucket=bucket, key="k/a b")
    with urllib3.PoolManager(ca_certs=os.environ["AWS_CA_BUNDLE"], retries=False) as pool:
        answer = pool.request("GET", url)
        assert (answer.status, answer.data) == (200, b"k/a b")
        path, query = url.split("?")
        assert pool.request("GET", path.rsplit("/", 1)[0] + "/other?" + query).status == 403


@pytest.mark.verbs("sync", "sync_down")
def test_sync(client, reference, bucket, tmp_path):
    """A folder goes up, follows a change and a removal, and comes down the same."""
    up, down = tmp_path / "up", tmp_path / "down"
    down.mkdir()
    files = {"a.txt": 10, "deep/b b.bin": 70_000, "deep/ü.bin": 5_000_000, "big.tar": LARGE, "empty": 0, "gone": 7}
    for name, length in files.items():
        (up / name).parent.mkdir(parents=True, exist_ok=True)
        (up / name).write_bytes(bytes([length % 251]) * length)
        os.utime(up / name, (1_700_000_000, 1_700_000_000))  # older than any upload
    client.sync(folder=up, bucket=bucket, prefix="set")
    (up / "gone").unlink()
    (up / "a.txt").write_bytes(b"changed, and longer")
    client.sync(folder=up, bucket=bucket, prefix="set")
    left = sorted(path.relative_to(up).as_posix() for path in up.rglob("*") if path.is_file())
    assert sorted(keys_of(reference, bucket)) == sorted(f"set/{name}" for name in left)
    if "check" in client.verbs:
        client.check(folder=up, bucket=bucket, prefix="set")
        reference.put_object(Bucket=bucket, Key="set/empty", Body=b"x")
        with pytest.raises(Refused):
            client.check(folder=up, bucket=bucket, prefix="set")
        reference.put_object(Bucket=bucket, Key="set/empty", Body=b"")
    client.sync_down(bucket=bucket, prefix="set", folder=down)
    for name in left:
        assert (down / name).read_bytes() == (up / name).read_bytes(), name


@pytest.mark.verbs("samples")
def test_samples(client, reference, bucket):
    """Every sample of a set of tar shards is read, and none twice."""
    wanted = []
    for shard in range(3):
        tar = io.BytesIO()
        with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(40):
                body = hashlib.sha256(b"%d" % (shard * 40 + number)).digest() * 500
                entry = tarfile.TarInfo(f"{shard}-{number:03}.bin")
                entry.size = len(body)
                archive.addfile(entry, io.BytesIO(body))
                wanted.append([entry.name, hashlib.sha256(body).hexdigest()])
        reference.put_object(Bucket=bucket, Key=f"k/shard-{shard}.tar", Body=tar.getvalue())
    samples = client.samples(bucket=bucket, keys=[f"k/shard-{shard}.tar" for shard in range(3)])
    assert sorted(samples) == sorted(wanted)


def checksum(algorithm, body):
    """As S3 writes it: base64 of the big-endian sum."""
    if algorithm in ("SHA1", "SHA256"):
        return base64.b64encode(hashlib.new(algorithm.lower(), body).digest()).decode()
    width, sum = {
        "CRC32": (4, lambda: zlib.crc32(body)),
        "CRC32C": (4, lambda: reflected_crc(body, 32, 0x82F63B78)),
        "CRC64NVME": (8, lambda: reflected_crc(body, 64, 0x9A6C9329AC4BC9B5)),
    }[algorithm]
    return base64.b64encode(sum().to_bytes(width, "big")).decode()


def reflected_crc(body, bits, polynomial):
    """A CRC by its table of 256; polynomial and register with their lowest bit first."""
    table = list(range(256))
    for _ in range(8):
        table = [(entry >> 1) ^ (polynomial if entry & 1 else 0) for entry in table]
    register = ones = (1 << bits) - 1
    for byte in body:
        register = table[(register ^ byte) & 255] ^ (register >> 8)
    return register ^ ones
