"""A steward uploads a data set: tar shards and an index of every sample.

    steward.py --corpus target/corpus --bucket training

The endpoint and the keys are where AWS tools look for them. The index goes last: whoever sees it finds all
that it names.
"""

import argparse
import pathlib
import time

import index
from boto3.s3.transfer import TransferConfig
from store import client

# Parts of one shard that are sent at a time.
TRANSFER = TransferConfig(multipart_chunksize=8 << 20, max_concurrency=8)


def upload(corpus, bucket, most):
    s3 = client()
    s3.create_bucket(Bucket=bucket)
    shards = sorted(corpus.glob("*.tar"))[:most]
    started = time.monotonic()
    for shard in shards:
        s3.upload_file(str(shard), bucket, shard.name, Config=TRANSFER)
    took, total = time.monotonic() - started, sum(shard.stat().st_size for shard in shards)
    stored = {shard.name: s3.head_object(Bucket=bucket, Key=shard.name)["ContentLength"] for shard in shards}
    short = [shard.name for shard in shards if stored[shard.name] != shard.stat().st_size]
    if short:
        raise SystemExit(f"not whole: {short}")
    names = {shard.name for shard in shards}
    text = (corpus / index.NAME).read_text()
    kept = [line for line, sample in zip(text.splitlines(), index.samples(text)) if sample.shard in names]
    s3.put_object(Bucket=bucket, Key=index.NAME, Body="\n".join(kept).encode())
    print(
        f"uploaded {len(shards)} shards, {len(kept)} samples, {total / 1e9:.3f} GB "
        f"in {took:.1f} s: {total / 1e9 / took:.3f} GB/s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=pathlib.Path, help="the folder that `cargo xtask corpus` made")
    parser.add_argument("--bucket", required=True)
    parser.add_argument("--shards", type=int, help="only so many of them")
    arguments = parser.parse_args()
    upload(arguments.corpus, arguments.bucket, arguments.shards)


if __name__ == "__main__":
    main()
