"""Three ways in which training jobs read samples. Each yields (name, bytes).

    shards      whole shards through webdataset, in the shuffled order of its buffer
    ranges      single samples, each by a ranged GET through boto3
    connector   single samples through s3torchconnectorclient, on which the S3 connector for PyTorch stands

None of them needs PyTorch, and a `Dataset` of yours would hold the same lines.
"""

import io
import os
import random
from urllib.parse import urlsplit

import webdataset
from store import Bucket, Stretch

# s3torchconnectorclient has no setting for an authority of one's own; the library below it reads this, once.
if "AWS_CA_BUNDLE" in os.environ:
    os.environ["SSL_CERT_FILE"] = os.environ["AWS_CA_BUNDLE"]
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client  # noqa: E402

# Samples that webdataset mixes, and bytes that are read from a shard at a time.
SHUFFLED = 200
PIECE = 256 << 10


class Shards:
    """Reads all samples of one shard, in the order in which they are stored, and mixes neighbours."""

    def __init__(self, bucket):
        self._bucket = bucket
        webdataset.gopen_schemes["s3"] = self._open

    def _open(self, url, *_, **__):
        return io.BufferedReader(Stretch(self._bucket, urlsplit(url).path[1:]), PIECE)

    def read(self, samples, seed):
        url = f"s3://{self._bucket.name}/{samples[0].shard}"
        read = webdataset.WebDataset(url, shardshuffle=False).shuffle(SHUFFLED, rng=random.Random(seed))
        for sample in read:
            # A sample may have several files, such as an image and its class; here each has one.
            [body] = (body for field, body in sample.items() if not field.startswith("__"))
            yield sample["__key__"], body


class Ranges:
    """Reads samples one by one, wherever they are."""

    def __init__(self, bucket):
        self._bucket = bucket

    def read(self, samples, seed):
        for sample in samples:
            last = sample.offset + sample.length - 1
            yield sample.name, Stretch(self._bucket, sample.shard, sample.offset, last).readall()


class Connector:
    """Reads samples one by one. The connector tries again by itself and does not say how often."""

    def __init__(self, bucket):
        found = bucket.client.meta
        self._bucket = bucket.name
        self._s3 = MountpointS3Client(region=found.region_name, endpoint=found.endpoint_url, force_path_style=True)

    def read(self, samples, seed):
        for sample in samples:
            end = sample.offset + sample.length
            pieces = self._s3.get_object(self._bucket, sample.shard, start=sample.offset, end=end)
            yield sample.name, b"".join(pieces)


WAYS = {"shards": Shards, "ranges": Ranges, "connector": Connector}


def readers(bucket):
    """One reader of each way, and the bucket that counts their retries."""
    opened = Bucket(bucket)
    return {way: reader(opened) for way, reader in WAYS.items()}, opened
