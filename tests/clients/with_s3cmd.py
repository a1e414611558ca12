"""s3cmd."""

from adapter import ACCESS_KEY, ADDRESS, CERTIFICATE, REGION, SECRET_KEY, SECURE, WORK, command, serve

CONFIG = WORK / "s3cfg"
CONFIG.write_text(f"""[default]
access_key = {ACCESS_KEY}
secret_key = {SECRET_KEY}
host_base = {ADDRESS}
host_bucket = {ADDRESS}
bucket_location = {REGION}
use_https = {SECURE}
ca_certs_file = {CERTIFICATE}
multipart_chunk_size_mb = 5
max_retries = 1
progress_meter = False
""")
program = command("s3cmd")


def s3cmd(*words, **options):
    return program(f"--config={CONFIG}", *words, **options)


class S3cmd:
    def make_bucket(self, bucket):
        s3cmd("mb", f"s3://{bucket}")

    def buckets(self):
        return [line.split()[-1].removeprefix("s3://") for line in s3cmd("ls").splitlines()]

    def remove_bucket(self, bucket):
        s3cmd("rb", f"s3://{bucket}")

    def put(self, bucket, key, file):
        s3cmd("put", file, f"s3://{bucket}/{key}")

    def upload(self, bucket, key, file):
        s3cmd("put", file, f"s3://{bucket}/{key}")

    def stream(self, bucket, key, file):
        s3cmd("put", "-", f"s3://{bucket}/{key}", body=file)

    def get(self, bucket, key, file):
        s3cmd("get", "--force", f"s3://{bucket}/{key}", file)

    def list(self, bucket, prefix):
        lines = s3cmd("ls", "--recursive", f"s3://{bucket}/{prefix}").splitlines()
        # As in `2026-11-23 00:00  12  s3://bucket/key`.
        entries = [line.split(None, 3) for line in lines]
        return [[name.removeprefix(f"s3://{bucket}/"), int(size)] for _, _, size, name in entries]

    def delete(self, bucket, key):
        s3cmd("del", f"s3://{bucket}/{key}")

    def delete_many(self, bucket, keys):
        s3cmd("del", *[f"s3://{bucket}/{key}" for key in keys])

    def copy(self, bucket, key, new):
        s3cmd("cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{new}")

    def put_metadata(self, bucket, key, file, metadata):
        given = [f"--add-header=x-amz-meta-{name}:{value}" for name, value in metadata.items()]
        s3cmd("put", *given, file, f"s3://{bucket}/{key}")

    def metadata(self, bucket, key):
        told = {}
        for line in s3cmd("info", f"s3://{bucket}/{key}").splitlines():
            name, _, value = line.strip().partition(":")
            told[name.strip().removeprefix("x-amz-meta-")] = value.strip()
        return told

    def set_tags(self, bucket, key, tags):
        s3cmd("settagging", f"s3://{bucket}/{key}", "&".join(f"{name}={value}" for name, value in tags.items()))

    def tags(self, bucket, key):
        lines = s3cmd("gettagging", f"s3://{bucket}/{key}").splitlines()
        return dict(line.strip().split(":\t", 1) for line in lines if ":\t" in line)

    def sync(self, folder, bucket, prefix):
        s3cmd("sync", "--delete-removed", f"{folder}/", f"s3://{bucket}/{prefix}/")

    def sync_down(self, bucket, prefix, folder):
        s3cmd("sync", f"s3://{bucket}/{prefix}/", f"{folder}/")


serve(program("--version").split()[-1], S3cmd())
