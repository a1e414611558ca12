"""A bucket of many objects is listed completely, in order, each once, while others write.

STRONGROOM_OBJECTS says how many: a small bucket in `cargo xtask test`, a million in `cargo xtask soak listing`.
They come through S3, unless STRONGROOM_LOADED names a bucket that has them already.
"""

import os
import pathlib
import random
import subprocess
import threading
import time

import pytest
from conftest import endpoint, make_client

OBJECTS = int(os.environ.get("STRONGROOM_OBJECTS", "2000"))
# Links to one file: a file system has a limit of them.
LINKS = 50_000
FOLDER = 1000


def key(number):
    """Numbers of unequal length and a letter of two bytes: byte order is neither theirs nor a dictionary's."""
    return f"shard-{number // FOLDER}/é-{number % FOLDER}"


def program(*words):
    environment = os.environ | {
        "AWS_REGION": "us-east-1",
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_ROOM_TYPE": "s3",
        "RCLONE_CONFIG_ROOM_PROVIDER": "Other",
        "RCLONE_CONFIG_ROOM_ENV_AUTH": "true",
        "RCLONE_CONFIG_ROOM_ENDPOINT": endpoint("http"),
    }
    run = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


def s5cmd(*words):
    return program("s5cmd", "--endpoint-url", endpoint("http"), "--numworkers", "64", *words)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The bucket; unless it is there, loaded by s5cmd from a tree of links to small files."""
    if "STRONGROOM_LOADED" in os.environ:
        return os.environ["STRONGROOM_LOADED"]
    tree = tmp_path_factory.mktemp("many")
    began = time.monotonic()
    for number in range(OBJECTS):
        path = tree / key(number)
        if number % FOLDER == 0:
            path.parent.mkdir(parents=True)
        if number % LINKS == 0:
            source = path
            path.write_bytes(b"a small object")
        else:
            os.link(source, path)
    bucket = f"many-{os.getpid()}"
    make_client("http").create_bucket(Bucket=bucket)
    loading = time.monotonic()
    s5cmd("cp", f"{tree}/", f"s3://{bucket}/")
    took = time.monotonic() - loading
    print(f"\n{OBJECTS} files made in {loading - began:.0f} s, loaded in {took:.0f} s: {OBJECTS / took:.0f} a second")
    return bucket


class Writers:
    """Others, who write and delete between the keys that stay, until they are told to stop."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.ended = threading.Event()
        self.writes = 0
        self.failed = []
        self.threads = [threading.Thread(target=self.run, args=(seed,)) for seed in range(2)]

    def run(self, seed):
        client, dice = make_client("http"), random.Random(seed)
        while not self.ended.is_set():
            # Behind a key that stays: its own common prefix, so that listings with a delimiter see it, too.
            name = key(dice.randrange(OBJECTS)) + f"-moving-{seed}"
            try:
                client.put_object(Bucket=self.bucket, Key=name, Body=b"moving")
                client.delete_object(Bucket=self.bucket, Key=name)
                self.writes += 2
            except Exception as error:
                self.failed.append(error)
                return

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


def by_boto3(bucket):
    pages = make_client("http").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def by_boto3_v1(bucket):
    pages = make_client("http").get_paginator("list_objects").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def by_rclone(bucket):
    # One listing of everything; rclone sorts each folder by itself.
    return program("rclone", "lsf", "--recursive", "--fast-list", "--files-only", f"room:{bucket}").splitlines()


def by_s5cmd(bucket):
    lines = s5cmd("ls", f"s3://{bucket}/*").splitlines()
    return [line.split(maxsplit=3)[3] for line in lines]


@pytest.mark.parametrize("listed", [by_boto3, by_boto3_v1, by_rclone, by_s5cmd])
def test_every_object_is_listed_once_and_in_order(many, listed):
    with Writers(many) as writers:
        # Several times where that is quick, so that writers and listing meet.
        rounds = max(1, 6000 // OBJECTS)
        began = time.monotonic()
        listings = [listed(many) for _ in range(rounds)]
        took = time.monotonic() - began
    assert not writers.failed and writers.writes > 0
    print(f"\n{listed.__name__}: {rounds * OBJECTS / took:.0f} keys a second beside {writers.writes / took:.0f} writes")
    expected = sorted((key(number) for number in range(OBJECTS)), key=str.encode)
    for keys in listings:
        staying = [name for name in keys if "-moving-" not in name]
        if listed is not by_rclone:
            assert keys == sorted(keys, key=str.encode), "in byte order"
        assert len(keys) == len(set(keys)), "each once"
        assert sorted(staying, key=str.encode) == expected, "complete"


def test_folders_cost_what_they_return(many):
    client = make_client("http")
    began = time.monotonic()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=many, Delimiter="/")
    folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    took = time.monotonic() - began
    print(f"\n{len(folders)} folders of {OBJECTS} objects in {took:.2f} s")
    expected = sorted({f"{pathlib.PurePosixPath(key(number)).parent}/" for number in range(OBJECTS)})
    assert folders == expected
