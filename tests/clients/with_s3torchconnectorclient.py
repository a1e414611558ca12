"""s3torchconnectorclient, on which the S3 connector for PyTorch stands; it needs no PyTorch itself.

Its copy is left out: it does not encode a key with a space, which the HTTP library below it then refuses.
"""

import os
import pathlib

from adapter import CERTIFICATE, ENDPOINT, MIB, REGION, serve

# It has no setting for an authority of one's own; the library below it reads this, once.
os.environ["SSL_CERT_FILE"] = CERTIFICATE

from s3torchconnectorclient import __version__  # noqa: E402
from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client  # noqa: E402

PIECE = 256 * 1024


class S3Torch:
    def __init__(self):
        self._s3 = MountpointS3Client(
            region=REGION, endpoint=ENDPOINT, force_path_style=True, part_size=5 * MIB, max_attempts=1
        )

    def put(self, bucket, key, file):
        out = self._s3.put_object(bucket, key)
        with open(file, "rb") as body:
            while piece := body.read(PIECE):
                out.write(piece)
        out.close()

    def upload(self, bucket, key, file):
        self.put(bucket, key, file)

    def stream(self, bucket, key, file):
        self.put(bucket, key, file)

    def get(self, bucket, key, file):
        body = b"".join(self._s3.get_object(bucket, key))
        pathlib.Path(file).write_bytes(body)

    def range(self, bucket, key, first, last, file):
        body = b"".join(self._s3.get_object(bucket, key, start=first, end=last + 1))
        pathlib.Path(file).write_bytes(body)

    def list(self, bucket, prefix):
        pages = self._s3.list_objects(bucket, prefix=prefix, max_keys=7)
        return [[entry.key, entry.size] for page in pages for entry in page.object_info]

    def delete(self, bucket, key):
        self._s3.delete_object(bucket, key)


serve(__version__, S3Torch())
