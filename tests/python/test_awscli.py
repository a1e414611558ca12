"""The AWS command line, as a steward types it, over http and https."""

import json
import os
import random
import subprocess

import pytest
from conftest import endpoint


@pytest.fixture
def aws(scheme, tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def run(*words, fails=False):
        done = subprocess.run(["aws", "--endpoint-url", endpoint(scheme), *words], capture_output=True, text=True, timeout=40)
        assert (done.returncode != 0) == fails, (words, done.stdout, done.stderr)
        return done.stderr if fails else done.stdout

    return run


def test_a_data_set_goes_up_and_comes_down(aws, bucket, tmp_path):
    """A folder is copied up, listed, copied down byte by byte, and removed."""
    random.seed(1)
    files = {"a.txt": 10, "deep/b b.bin": 70_000, "deep/ü.bin": 5_000_000, "big.tar": 20_000_000, "empty": 0}
    up, down = tmp_path / "up", tmp_path / "down"
    for name, length in files.items():
        (up / name).parent.mkdir(parents=True, exist_ok=True)
        (up / name).write_bytes(random.randbytes(length))
        os.utime(up / name, (1_700_000_000, 1_700_000_000))  # older than any upload, for `sync`
    aws("s3", "cp", "--recursive", "--no-progress", str(up), f"s3://{bucket}/set")
    listing = aws("s3", "ls", "--recursive", f"s3://{bucket}/set/")
    assert sorted(int(line.split()[2]) for line in listing.splitlines()) == sorted(files.values())
    assert "PRE deep/" in aws("s3", "ls", f"s3://{bucket}/set/")
    aws("s3", "cp", "--recursive", "--no-progress", f"s3://{bucket}/set", str(down))
    for name in files:
        assert (down / name).read_bytes() == (up / name).read_bytes(), name
    assert aws("s3", "sync", "--no-progress", str(up), f"s3://{bucket}/set") == "", "nothing is left to upload"
    aws("s3", "rm", "--recursive", f"s3://{bucket}/set")
    assert aws("s3", "ls", "--recursive", f"s3://{bucket}/") == ""


def test_an_empty_file_holds_up_nobody(aws, bucket, tmp_path):
    """Empty files between others, all on one connection. An empty upload is answered without `100 Continue`,
    after which this client misreads the next answer on that connection and waits for a minute."""
    with open(os.environ["AWS_CONFIG_FILE"], "a") as config:
        config.write("  max_concurrent_requests = 1\n")
    for name, length in [("0", 0), ("1", 100_000), ("2", 0), ("3", 5), ("4", 0), ("5", 100_000)]:
        (tmp_path / "up").mkdir(exist_ok=True)
        (tmp_path / "up" / name).write_bytes(b"x" * length)
    uploads = aws("s3", "cp", "--recursive", "--no-progress", str(tmp_path / "up"), f"s3://{bucket}/")
    assert uploads.count("upload: ") == 6


def test_a_bucket_by_hand(aws, bucket, tmp_path):
    """s3api: put with metadata, head, a ranged get, delete; and a missing key is said to be missing."""
    (tmp_path / "body").write_bytes(b"0123456789")
    put = aws("s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", str(tmp_path / "body"),
              "--metadata", "owner=steward", "--content-type", "text/plain")  # fmt: skip
    assert json.loads(put)["ETag"] == '"781e5e245d69b566979b86e28d23f2c7"'
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "k"))
    assert (head["ContentLength"], head["Metadata"], head["ContentType"]) == (10, {"owner": "steward"}, "text/plain")
    out = tmp_path / "out"
    aws("s3api", "get-object", "--bucket", bucket, "--key", "k", "--range", "bytes=2-4", str(out))
    assert out.read_bytes() == b"234"
    assert "BucketNotEmpty" in aws("s3", "rb", f"s3://{bucket}", fails=True)
    aws("s3api", "delete-object", "--bucket", bucket, "--key", "k")
    missing = aws("s3api", "get-object", "--bucket", bucket, "--key", "k", str(out), fails=True)
    assert "NoSuchKey" in missing
    aws("s3", "rb", f"s3://{bucket}")
    assert bucket not in aws("s3", "ls")
