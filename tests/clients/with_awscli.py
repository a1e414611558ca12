"""The AWS command line: `s3 cp|sync|rm`, and `s3api` for what those cannot say."""

import json
import os

from adapter import ENDPOINT, WORK, Failed, command, refused, serve

# As a steward would: small parts, so that a file of the scenario needs several.
CONFIG = """[default]
s3 =
  addressing_style = path
  signature_version = s3v4
  multipart_threshold = 8MB
  multipart_chunksize = 5MB
  max_concurrent_requests = 4
"""
os.environ["AWS_CONFIG_FILE"] = str(WORK / "config")
(WORK / "config").write_text(CONFIG)
os.environ["AWS_MAX_ATTEMPTS"] = "1"
os.environ["AWS_PAGER"] = ""

aws = command("aws")


def s3(verb, *words, **options):
    return aws("--endpoint-url", ENDPOINT, "s3", verb, *words, **options)


def api(operation, **options):
    words = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), value)]
    answer = aws("--endpoint-url", ENDPOINT, "s3api", operation, *words)
    return json.loads(answer) if answer.strip() else {}


class AwsCli:
    algorithms = ["CRC32", "SHA1", "SHA256"]

    def make_bucket(self, bucket):
        s3("mb", f"s3://{bucket}")

    def buckets(self):
        return [line.split()[2] for line in s3("ls").splitlines()]

    def remove_bucket(self, bucket):
        s3("rb", f"s3://{bucket}")

    def put(self, bucket, key, file):
        api("put-object", bucket=bucket, key=key, body=file)

    def upload(self, bucket, key, file):
        s3("cp", "--no-progress", file, f"s3://{bucket}/{key}")

    def stream(self, bucket, key, file):
        s3("cp", "-", f"s3://{bucket}/{key}", body=file)

    def get(self, bucket, key, file):
        s3("cp", "--no-progress", f"s3://{bucket}/{key}", file)

    def range(self, bucket, key, first, last, file):
        aws("--endpoint-url", ENDPOINT, "s3api", "get-object", "--bucket", bucket, "--key", key,
            "--range", f"bytes={first}-{last}", file)  # fmt: skip

    def list(self, bucket, prefix):
        answer = api("list-objects-v2", bucket=bucket, prefix=prefix, page_size="7")
        return [[entry["Key"], entry["Size"]] for entry in answer.get("Contents", [])]

    def delete(self, bucket, key):
        s3("rm", f"s3://{bucket}/{key}")

    def delete_many(self, bucket, keys):
        answer = api("delete-objects", bucket=bucket, delete=json.dumps({"Objects": [{"Key": key} for key in keys]}))
        assert not answer.get("Errors"), answer["Errors"]

    def copy(self, bucket, key, new):
        s3("cp", "--no-progress", f"s3://{bucket}/{key}", f"s3://{bucket}/{new}")

    def put_metadata(self, bucket, key, file, metadata):
        s3("cp", "--no-progress", "--metadata", json.dumps(metadata), file, f"s3://{bucket}/{key}")

    def metadata(self, bucket, key):
        return api("head-object", bucket=bucket, key=key)["Metadata"]

    def checksum(self, bucket, key, file, algorithm):
        s3("cp", "--no-progress", "--checksum-algorithm", algorithm, file, f"s3://{bucket}/{key}")

    def wrong_checksum(self, bucket, key, file):
        api("put-object", bucket=bucket, key=key, body=file, checksum_crc32="AAAAAA==")

    def put_if_absent(self, bucket, key, file):
        return self._put_if(bucket=bucket, key=key, body=file, if_none_match="*")

    def put_if_match(self, bucket, key, file, tag):
        return self._put_if(bucket=bucket, key=key, body=file, if_match=tag)

    def _put_if(self, **options):
        try:
            api("put-object", **options)
        except Failed as error:
            return not refused(error, "PreconditionFailed")
        return True

    def set_tags(self, bucket, key, tags):
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        api("put-object-tagging", bucket=bucket, key=key, tagging=json.dumps({"TagSet": pairs}))

    def tags(self, bucket, key):
        answer = api("get-object-tagging", bucket=bucket, key=key)
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}

    def presign(self, bucket, key):
        return s3("presign", f"s3://{bucket}/{key}").strip()

    def sync(self, folder, bucket, prefix):
        s3("sync", "--no-progress", "--delete", folder, f"s3://{bucket}/{prefix}")

    def sync_down(self, bucket, prefix, folder):
        s3("sync", "--no-progress", f"s3://{bucket}/{prefix}", folder)


serve(aws("--version").split()[0].split("/")[1], AwsCli())
