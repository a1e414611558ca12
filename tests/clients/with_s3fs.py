"""s3fs, the file system of fsspec: what pandas, Dask and Zarr open `s3://` with."""

import s3fs
from adapter import ACCESS_KEY, CERTIFICATE, ENDPOINT, MIB, REGION, SECRET_KEY, SECURE, refused, serve

BLOCK = 5 * MIB


class S3fs:
    def __init__(self):
        self._files = s3fs.S3FileSystem(
            key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=ENDPOINT, use_listings_cache=False, default_block_size=BLOCK,
            client_kwargs={"region_name": REGION, "verify": CERTIFICATE if SECURE else None},
            config_kwargs={"signature_version": "s3v4", "s3": {"addressing_style": "path"}},
        )  # fmt: skip

    def make_bucket(self, bucket):
        self._files.mkdir(bucket)

    def buckets(self):
        return self._files.ls("")

    def remove_bucket(self, bucket):
        self._files.rmdir(bucket)

    def put(self, bucket, key, file):
        self._files.put_file(file, f"{bucket}/{key}")

    def upload(self, bucket, key, file):
        self._files.put_file(file, f"{bucket}/{key}", chunksize=BLOCK)

    def stream(self, bucket, key, file):
        with self._files.open(f"{bucket}/{key}", "wb", block_size=BLOCK) as out, open(file, "rb") as body:
            while piece := body.read(1_000_000):
                out.write(piece)

    def get(self, bucket, key, file):
        self._files.get_file(f"{bucket}/{key}", file)

    def range(self, bucket, key, first, last, file):
        with self._files.open(f"{bucket}/{key}", "rb") as body, open(file, "wb") as out:
            body.seek(first)
            out.write(body.read(last - first + 1))

    def list(self, bucket, prefix):
        found = self._files.find(f"{bucket}/{prefix}", detail=True)
        return [[name.removeprefix(f"{bucket}/"), entry["size"]] for name, entry in found.items()]

    def delete(self, bucket, key):
        self._files.rm_file(f"{bucket}/{key}")

    def delete_many(self, bucket, keys):
        self._files.rm([f"{bucket}/{key}" for key in keys])

    def copy(self, bucket, key, new):
        self._files.copy(f"{bucket}/{key}", f"{bucket}/{new}")

    def put_metadata(self, bucket, key, file, metadata):
        self._files.put_file(file, f"{bucket}/{key}", Metadata=metadata)

    def metadata(self, bucket, key):
        return self._files.metadata(f"{bucket}/{key}")

    def put_if_absent(self, bucket, key, file):
        try:
            self._files.put_file(file, f"{bucket}/{key}", mode="create")
        except OSError as error:
            return not refused(error, "preconditions")
        return True

    def set_tags(self, bucket, key, tags):
        self._files.put_tags(f"{bucket}/{key}", tags)

    def tags(self, bucket, key):
        return self._files.get_tags(f"{bucket}/{key}")

    def presign(self, bucket, key):
        return self._files.sign(f"{bucket}/{key}")


serve(s3fs.__version__, S3fs())
