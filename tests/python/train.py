"""A steward uploads a data set; a training job reads every sample of it back and checks each one.

    train.py upload --corpus DIR --bucket NAME
    train.py train --bucket NAME --workers 4 --seed 1

DIR is what `cargo xtask corpus` makes: WebDataset shards and `index.jsonl`. The endpoint is in
STRONGROOM_S3, the keys where AWS tools look for them.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import random
import time

import boto3
from blake3 import blake3
from botocore.config import Config

LEAST_SAMPLES = 10_000


def client():
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=os.environ["STRONGROOM_S3"], config=config)


def upload(corpus, bucket):
    """Every shard in parallel parts, the index last: whoever sees it finds all that it names."""
    s3 = client()
    s3.create_bucket(Bucket=bucket)
    shards = sorted(pathlib.Path(corpus).glob("*.tar"))
    started, total = time.monotonic(), 0
    for path in [*shards, pathlib.Path(corpus) / "index.jsonl"]:
        s3.upload_file(str(path), bucket, path.name)
        total += path.stat().st_size
    took = time.monotonic() - started
    listed = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]}
    assert all(listed[path.name] == path.stat().st_size for path in shards), listed
    print(f"upload: {len(shards)} shards, {total / 1e6:.1f} MB in {took:.1f} s, {total / 1e6 / took:.1f} MB/s")


def work(number, bucket, samples, results):
    """One worker of the job: reads its samples in the order given, each by its own range."""
    s3, wrong, total = client(), [], 0
    for sample in samples:
        last = sample["offset"] + sample["length"] - 1
        asked = f"bytes={sample['offset']}-{last}"
        body = s3.get_object(Bucket=bucket, Key=sample["shard"], Range=asked)["Body"].read()
        if len(body) != sample["length"] or blake3(body).hexdigest() != sample["blake3"]:
            wrong.append(sample["sample"])
        total += len(body)
    results.put((number, len(samples), total, wrong))


def train(bucket, workers, seed):
    """One epoch: every sample once, in an order that follows from the seed."""
    index = client().get_object(Bucket=bucket, Key="index.jsonl")["Body"].read()
    samples = [json.loads(line) for line in index.splitlines()]
    assert len(samples) >= LEAST_SAMPLES, f"only {len(samples)} samples"
    random.Random(seed).shuffle(samples)
    results = multiprocessing.Queue()
    parts = [samples[number::workers] for number in range(workers)]
    processes = [
        multiprocessing.Process(target=work, args=(number, bucket, part, results)) for number, part in enumerate(parts)
    ]
    started = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    took = time.monotonic() - started
    assert all(process.exitcode == 0 for process in processes), [process.exitcode for process in processes]
    told = [results.get(timeout=10) for _ in processes]
    wrong = [sample for _, _, _, part in told for sample in part]
    count, total = sum(part[1] for part in told), sum(part[2] for part in told)
    assert not wrong, f"{len(wrong)} samples differ: {wrong[:10]}"
    assert count == len(samples) and total == sum(sample["length"] for sample in samples)
    print(
        f"train: {count} samples exact, {total / 1e6:.1f} MB, {workers} workers, seed {seed}: "
        f"{count / took:.0f} samples/s, {total / 1e6 / took:.1f} MB/s"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("upload")
    one.add_argument("--corpus", required=True)
    one.add_argument("--bucket", required=True)
    two = commands.add_parser("train")
    two.add_argument("--bucket", required=True)
    two.add_argument("--workers", type=int, default=4)
    two.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.command == "upload":
        upload(arguments.corpus, arguments.bucket)
    else:
        train(arguments.bucket, arguments.workers, arguments.seed)


if __name__ == "__main__":
    main()
