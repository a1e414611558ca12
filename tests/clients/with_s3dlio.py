"""s3dlio, the storage library of DLIO and MLPerf Storage."""

import os
import pathlib

from adapter import ENDPOINT, MIB, serve

os.environ["AWS_ENDPOINT_URL"] = ENDPOINT

import s3dlio  # noqa: E402  reads the environment once


def uri(bucket, key=""):
    return f"s3://{bucket}/{key}"


class S3dlio:
    def make_bucket(self, bucket):
        s3dlio.create_bucket(bucket)

    def remove_bucket(self, bucket):
        s3dlio.delete_bucket(bucket)

    def buckets(self):
        return [pathlib.PurePath(str(entry["uri"] if isinstance(entry, dict) else entry)).name
                for entry in s3dlio.list_containers("s3://")]  # fmt: skip

    def put(self, bucket, key, file):
        s3dlio.put_bytes(uri(bucket, key), pathlib.Path(file).read_bytes())

    def upload(self, bucket, key, file):
        out = s3dlio.MultipartUploadWriter(bucket, key, part_size=5 * MIB, max_in_flight=4)
        with open(file, "rb") as body:
            while piece := body.read(MIB):
                out.write(piece)
        out.close()

    def get(self, bucket, key, file):
        pathlib.Path(file).write_bytes(bytes(s3dlio.get(uri(bucket, key))))

    def range(self, bucket, key, first, last, file):
        pathlib.Path(file).write_bytes(bytes(s3dlio.get_range(uri(bucket, key), first, last - first + 1)))

    def list(self, bucket, prefix):
        found = [name.removeprefix(uri(bucket)) for name in s3dlio.list(uri(bucket, prefix), recursive=True)]
        return [[key, s3dlio.stat(uri(bucket, key))["size"]] for key in found]

    def delete(self, bucket, key):
        s3dlio.delete(uri(bucket, key))


serve(s3dlio.__version__, S3dlio())
