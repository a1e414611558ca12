"""boto3 and its transfer manager."""

import base64
import pathlib

import boto3
from adapter import ENDPOINT, MIB, REGION, refused, serve
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError


class Unmeasured:
    """A body that can be read once, and not measured up front."""

    def __init__(self, file):
        self._open = open(file, "rb")

    def read(self, amount=-1):
        return self._open.read(amount)


class Boto3:
    # The others need the CRT, which a client of its own brings.
    algorithms = ["CRC32", "SHA1", "SHA256"]

    def __init__(self):
        config = Config(retries={"total_max_attempts": 1}, signature_version="s3v4", s3={"addressing_style": "path"})
        self._s3 = boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, config=config)
        self._parts = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)

    def make_bucket(self, bucket):
        self._s3.create_bucket(Bucket=bucket)

    def buckets(self):
        return [bucket["Name"] for bucket in self._s3.list_buckets()["Buckets"]]

    def remove_bucket(self, bucket):
        self._s3.delete_bucket(Bucket=bucket)

    def put(self, bucket, key, file):
        with open(file, "rb") as body:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body)

    def upload(self, bucket, key, file):
        self._s3.upload_file(file, bucket, key, Config=self._parts)

    def stream(self, bucket, key, file):
        self._s3.upload_fileobj(Unmeasured(file), bucket, key, Config=self._parts)

    def get(self, bucket, key, file):
        self._s3.download_file(bucket, key, file, Config=self._parts)

    def range(self, bucket, key, first, last, file):
        answer = self._s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
        pathlib.Path(file).write_bytes(answer["Body"].read())

    def list(self, bucket, prefix):
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": 7}
        )
        return [[entry["Key"], entry["Size"]] for page in pages for entry in page.get("Contents", [])]

    def delete(self, bucket, key):
        self._s3.delete_object(Bucket=bucket, Key=key)

    def delete_many(self, bucket, keys):
        answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        assert not answer.get("Errors"), answer["Errors"]

    def copy(self, bucket, key, new):
        self._s3.copy({"Bucket": bucket, "Key": key}, bucket, new, Config=self._parts)

    def put_metadata(self, bucket, key, file, metadata):
        self._s3.upload_file(file, bucket, key, ExtraArgs={"Metadata": metadata})

    def metadata(self, bucket, key):
        return self._s3.head_object(Bucket=bucket, Key=key)["Metadata"]

    def checksum(self, bucket, key, file, algorithm):
        self._s3.upload_file(file, bucket, key, ExtraArgs={"ChecksumAlgorithm": algorithm}, Config=self._parts)

    def wrong_checksum(self, bucket, key, file):
        with open(file, "rb") as body:
            wrong = base64.b64encode(bytes(32)).decode()
            self._s3.put_object(Bucket=bucket, Key=key, Body=body, ChecksumSHA256=wrong)

    def put_if_absent(self, bucket, key, file):
        return self._put_if(bucket, key, file, IfNoneMatch="*")

    def put_if_match(self, bucket, key, file, tag):
        return self._put_if(bucket, key, file, IfMatch=tag)

    def _put_if(self, bucket, key, file, **condition):
        try:
            with open(file, "rb") as body:
                self._s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)
        except ClientError as error:
            return not refused(error, "PreconditionFailed")
        return True

    def set_tags(self, bucket, key, tags):
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        self._s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": pairs})

    def tags(self, bucket, key):
        answer = self._s3.get_object_tagging(Bucket=bucket, Key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def presign(self, bucket, key):
        return self._s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})


serve(boto3.__version__, Boto3())
