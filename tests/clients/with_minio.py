"""minio-py."""

import minio
import urllib3
from adapter import ACCESS_KEY, ADDRESS, CERTIFICATE, MIB, REGION, SECRET_KEY, SECURE, serve
from minio.commonconfig import CopySource, Tags
from minio.deleteobjects import DeleteObject

POOL = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=CERTIFICATE, retries=False)


class Minio:
    def __init__(self):
        self._minio = minio.Minio(
            ADDRESS, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION, secure=SECURE, http_client=POOL
        )

    def make_bucket(self, bucket):
        self._minio.make_bucket(bucket)

    def buckets(self):
        return [bucket.name for bucket in self._minio.list_buckets()]

    def remove_bucket(self, bucket):
        self._minio.remove_bucket(bucket)

    def put(self, bucket, key, file):
        self._minio.fput_object(bucket, key, file)

    def upload(self, bucket, key, file):
        self._minio.fput_object(bucket, key, file, part_size=5 * MIB)

    def stream(self, bucket, key, file):
        with open(file, "rb") as body:
            self._minio.put_object(bucket, key, body, length=-1, part_size=5 * MIB)

    def get(self, bucket, key, file):
        self._minio.fget_object(bucket, key, file)

    def range(self, bucket, key, first, last, file):
        answer = self._minio.get_object(bucket, key, offset=first, length=last - first + 1)
        with answer, open(file, "wb") as out:
            out.write(answer.read())

    def list(self, bucket, prefix):
        entries = self._minio.list_objects(bucket, prefix=prefix, recursive=True)
        return [[entry.object_name, entry.size] for entry in entries]

    def delete(self, bucket, key):
        self._minio.remove_object(bucket, key)

    def delete_many(self, bucket, keys):
        errors = list(self._minio.remove_objects(bucket, [DeleteObject(key) for key in keys]))
        assert not errors, errors

    def copy(self, bucket, key, new):
        self._minio.copy_object(bucket, new, CopySource(bucket, key))

    def put_metadata(self, bucket, key, file, metadata):
        self._minio.fput_object(bucket, key, file, metadata=metadata)

    def metadata(self, bucket, key):
        told = self._minio.stat_object(bucket, key).metadata
        return {name.lower().removeprefix("x-amz-meta-"): value for name, value in told.items()}

    def set_tags(self, bucket, key, tags):
        given = Tags(for_object=True)
        given.update(tags)
        self._minio.set_object_tags(bucket, key, given)

    def tags(self, bucket, key):
        return dict(self._minio.get_object_tags(bucket, key) or {})

    def presign(self, bucket, key):
        return self._minio.presigned_get_object(bucket, key)


serve(minio.__version__, Minio())
