"""S3 through boto3: a client, and objects as files whose reading goes on when a connection breaks."""

import io

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

# As boto3's documentation advises for new programs; its default, "legacy", tries again in fewer cases.
CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, s3={"addressing_style": "path"})
# How often a stretch is asked for again that has brought nothing new.
BROKEN_MOST = 4


def client():
    """Endpoint, keys and region are where every AWS tool looks for them."""
    return boto3.client("s3", config=CONFIG)


class Bucket:
    """One bucket, as one process sees it; counts what had to be asked for again."""

    def __init__(self, name):
        self.name, self.client, self.retries = name, client(), 0

    def get(self, key, **further):
        answer = self.client.get_object(Bucket=self.name, Key=key, **further)
        self.retries += answer["ResponseMetadata"]["RetryAttempts"]
        return answer


class Stretch(io.RawIOBase):
    """A stretch of an object, or all of it, as a file that is read from front to back.

    boto3 asks again for what was not answered, but not for the rest of an answer that broke off. This does,
    and takes it from the same version of the object only.
    """

    def __init__(self, bucket, key, first=0, last=None):
        self._bucket, self._key, self._at, self._last = bucket, key, first, last
        self._version, self._broken = {}, 0
        self._open()

    def _open(self):
        asked = f"bytes={self._at}-{'' if self._last is None else self._last}"
        answer = self._bucket.get(self._key, Range=asked, **self._version)
        self._version, self._body = {"IfMatch": answer["ETag"]}, answer["Body"]

    def readable(self):
        return True

    def readinto(self, buffer):
        while True:
            try:
                piece = self._body.read(len(buffer))
                break
            except BotoCoreError:
                if self._broken == BROKEN_MOST:
                    raise
                self._broken += 1
                self._bucket.retries += 1
                self._open()
        if piece:
            self._broken = 0
        self._at += len(piece)
        buffer[: len(piece)] = piece
        return len(piece)
