"""obstore, the Rust crate object_store from Python."""

import datetime
import pathlib

import obstore
from adapter import ACCESS_KEY, CERTIFICATE, ENDPOINT, MIB, REGION, SECRET_KEY, refused, serve
from obstore.store import S3Store


class Obstore:
    algorithms = ["SHA256", "CRC64NVME"]

    def _store(self, bucket, **config):
        return S3Store(
            bucket, endpoint=ENDPOINT, region=REGION, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY,
            virtual_hosted_style_request=False, **config,
            client_options={"allow_http": True, "root_certificate": pathlib.Path(CERTIFICATE).read_bytes()}, retry_config={"max_retries": 0},
        )  # fmt: skip

    def put(self, bucket, key, file):
        obstore.put(self._store(bucket), key, pathlib.Path(file), use_multipart=False)

    def upload(self, bucket, key, file):
        obstore.put(self._store(bucket), key, pathlib.Path(file), chunk_size=5 * MIB, max_concurrency=4)

    def stream(self, bucket, key, file):
        with obstore.open_writer(self._store(bucket), key, buffer_size=5 * MIB) as out, open(file, "rb") as body:
            while piece := body.read(100_000):
                out.write(piece)

    def get(self, bucket, key, file):
        with open(file + ".part", "wb") as out:
            for piece in obstore.get(self._store(bucket), key):
                out.write(piece)
        pathlib.Path(file + ".part").rename(file)

    def range(self, bucket, key, first, last, file):
        # Two at once, as its readers of columns do: the range asked for, and the first byte.
        got, _ = obstore.get_ranges(self._store(bucket), key, starts=[first, 0], ends=[last + 1, 1])
        pathlib.Path(file).write_bytes(got)

    def list(self, bucket, prefix):
        pages = obstore.list(self._store(bucket), prefix, chunk_size=10)
        return [[entry["path"], entry["size"]] for page in pages for entry in page]

    def delete(self, bucket, key):
        obstore.delete(self._store(bucket), key)

    def delete_many(self, bucket, keys):
        obstore.delete(self._store(bucket), keys)

    def copy(self, bucket, key, new):
        obstore.copy(self._store(bucket), key, new)

    def put_metadata(self, bucket, key, file, metadata):
        obstore.put(self._store(bucket), key, pathlib.Path(file), attributes=metadata, use_multipart=False)

    def metadata(self, bucket, key):
        return dict(obstore.get(self._store(bucket), key).attributes)

    def checksum(self, bucket, key, file, algorithm):
        store = self._store(bucket, checksum_algorithm=algorithm)
        obstore.put(store, key, pathlib.Path(file), chunk_size=5 * MIB)

    def put_if_absent(self, bucket, key, file):
        return self._put_if(bucket, key, file, "create")

    def put_if_match(self, bucket, key, file, tag):
        return self._put_if(bucket, key, file, {"e_tag": tag})

    def _put_if(self, bucket, key, file, mode):
        try:
            obstore.put(self._store(bucket), key, pathlib.Path(file), mode=mode)
        except obstore.exceptions.BaseError as error:
            return not refused(type(error).__name__, "AlreadyExistsError", "PreconditionError")
        return True

    def presign(self, bucket, key):
        return obstore.sign(self._store(bucket), "GET", key, datetime.timedelta(minutes=5))


serve(obstore.__version__, Obstore())
