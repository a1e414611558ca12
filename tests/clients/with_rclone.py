"""rclone: copy, check, sync."""

import json
import os

from adapter import ACCESS_KEY, CERTIFICATE, ENDPOINT, REGION, SECRET_KEY, command, serve

REMOTE = {
    "type": "s3", "provider": "Other", "endpoint": ENDPOINT, "region": REGION, "access_key_id": ACCESS_KEY,
    "secret_access_key": SECRET_KEY, "upload_cutoff": "8Mi", "chunk_size": "5Mi", "copy_cutoff": "16Mi",
}  # fmt: skip
for name, value in REMOTE.items():
    os.environ[f"RCLONE_CONFIG_ROOM_{name.upper()}"] = value
os.environ["RCLONE_CONFIG"] = "/dev/null"

program = command("rclone")


def rclone(*words, **options):
    return program("--retries=1", "--low-level-retries=1", f"--ca-cert={CERTIFICATE}", *words, **options)


class Rclone:
    def make_bucket(self, bucket):
        rclone("mkdir", f"room:{bucket}")

    def buckets(self):
        return rclone("lsf", "room:").replace("/", "").splitlines()

    def remove_bucket(self, bucket):
        rclone("rmdir", f"room:{bucket}")

    def put(self, bucket, key, file):
        rclone("copyto", file, f"room:{bucket}/{key}")

    def upload(self, bucket, key, file):
        rclone("copyto", file, f"room:{bucket}/{key}")

    def stream(self, bucket, key, file):
        rclone("rcat", f"room:{bucket}/{key}", body=file)

    def get(self, bucket, key, file):
        rclone("copyto", f"room:{bucket}/{key}", file)

    def list(self, bucket, prefix):
        # A folder is what rclone lists; the scenario's prefixes end with a slash.
        entries = json.loads(rclone("lsjson", "--recursive", "--files-only", f"room:{bucket}/{prefix}"))
        return [[prefix + entry["Path"], entry["Size"]] for entry in entries]

    def range(self, bucket, key, first, last, file):
        rclone("cat", f"--offset={first}", f"--count={last - first + 1}", f"room:{bucket}/{key}", out=file)

    def delete(self, bucket, key):
        rclone("deletefile", f"room:{bucket}/{key}")

    def copy(self, bucket, key, new):
        rclone("copyto", f"room:{bucket}/{key}", f"room:{bucket}/{new}")

    def put_metadata(self, bucket, key, file, metadata):
        given = [word for name, value in metadata.items() for word in ("--metadata-set", f"{name}={value}")]
        rclone("copyto", "--metadata", *given, file, f"room:{bucket}/{key}")

    def metadata(self, bucket, key):
        entry = json.loads(rclone("lsjson", "--stat", "--metadata", f"room:{bucket}/{key}"))
        return entry["Metadata"]

    def presign(self, bucket, key):
        return rclone("link", f"room:{bucket}/{key}").strip()

    def sync(self, folder, bucket, prefix):
        rclone("sync", folder, f"room:{bucket}/{prefix}")

    def sync_down(self, bucket, prefix, folder):
        rclone("sync", f"room:{bucket}/{prefix}", folder)

    def check(self, folder, bucket, prefix):
        rclone("check", folder, f"room:{bucket}/{prefix}")


serve(program("version").split()[1].removeprefix("v"), Rclone())
