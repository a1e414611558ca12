"""s5cmd, as in a folder of shards moved by many workers."""

import json
import os

from adapter import CERTIFICATE, ENDPOINT, Failed, command, refused, serve

os.environ["SSL_CERT_FILE"] = CERTIFICATE
program = command("s5cmd")


def s5cmd(*words, **options):
    return program("--endpoint-url", ENDPOINT, "--retry-count", "0", "--numworkers", "8", *words, **options)


class S5cmd:
    def make_bucket(self, bucket):
        s5cmd("mb", f"s3://{bucket}")

    def buckets(self):
        return [line.split()[-1].removeprefix("s3://") for line in s5cmd("ls").splitlines()]

    def remove_bucket(self, bucket):
        s5cmd("rb", f"s3://{bucket}")

    def put(self, bucket, key, file):
        s5cmd("cp", file, f"s3://{bucket}/{key}")

    def upload(self, bucket, key, file):
        s5cmd("cp", "--part-size", "5", "--concurrency", "4", file, f"s3://{bucket}/{key}")

    def stream(self, bucket, key, file):
        s5cmd("pipe", "--part-size", "5", f"s3://{bucket}/{key}", body=file)

    def get(self, bucket, key, file):
        s5cmd("cp", "--part-size", "5", "--concurrency", "4", f"s3://{bucket}/{key}", file)

    def list(self, bucket, prefix):
        try:
            lines = s5cmd("--json", "ls", f"s3://{bucket}/{prefix}*").splitlines()
        except Failed as error:
            return [] if refused(error, "no object found") else None
        entries = [entry for entry in map(json.loads, lines) if "key" in entry]
        return [[entry["key"].removeprefix(f"s3://{bucket}/"), entry.get("size", 0)] for entry in entries]

    def delete(self, bucket, key):
        s5cmd("rm", f"s3://{bucket}/{key}")

    def delete_many(self, bucket, keys):
        s5cmd("rm", *[f"s3://{bucket}/{key}" for key in keys])

    def copy(self, bucket, key, new):
        s5cmd("cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{new}")

    def put_metadata(self, bucket, key, file, metadata):
        given = [word for name, value in metadata.items() for word in ("--metadata", f"{name}={value}")]
        s5cmd("cp", *given, file, f"s3://{bucket}/{key}")

    def presign(self, bucket, key):
        return s5cmd("presign", f"s3://{bucket}/{key}").strip()

    def sync(self, folder, bucket, prefix):
        s5cmd("sync", "--delete", f"{folder}/", f"s3://{bucket}/{prefix}/")

    def sync_down(self, bucket, prefix, folder):
        s5cmd("sync", f"s3://{bucket}/{prefix}/*", f"{folder}/")


serve(program("version").split("-")[0].strip().removeprefix("v"), S5cmd())
