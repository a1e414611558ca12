"""The AWS Common Runtime's S3 client, as AWS's own tools use it for speed: parts in parallel both ways."""

import os
import pathlib
from urllib.parse import quote

import awscrt
from adapter import ACCESS_KEY, ADDRESS, CERTIFICATE, MIB, REGION, SECRET_KEY, SECURE, serve
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.s3 import (
    S3ChecksumAlgorithm,
    S3ChecksumConfig,
    S3ChecksumLocation,
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

PATIENCE = 100


class Crt:
    algorithms = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]

    def __init__(self):
        options = TlsContextOptions()
        options.override_default_trust_store_from_path(ca_filepath=CERTIFICATE)
        connection = ClientTlsContext(options).new_connection_options()
        connection.set_server_name(ADDRESS.split(":")[0])
        provider = AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET_KEY)
        self._s3 = S3Client(
            region=REGION, part_size=5 * MIB, multipart_upload_threshold=8 * MIB, throughput_target_gbps=1,
            tls_mode=S3RequestTlsMode.ENABLED if SECURE else S3RequestTlsMode.DISABLED,
            tls_connection_options=connection if SECURE else None,
            signing_config=create_default_s3_signing_config(region=REGION, credential_provider=provider),
        )  # fmt: skip

    def _make(self, kind, method, path, headers=(), **options):
        request = HttpRequest(method, quote(path), HttpHeaders([("host", ADDRESS), *headers]))
        made = self._s3.make_request(type=kind, request=request, **options)
        made.finished_future.result(PATIENCE)

    def _put(self, bucket, key, file, **options):
        length = str(os.path.getsize(file))
        headers = [("content-length", length), ("content-type", "application/octet-stream")]
        self._make(S3RequestType.PUT_OBJECT, "PUT", f"/{bucket}/{key}", headers, send_filepath=file, **options)

    def put(self, bucket, key, file):
        self._put(bucket, key, file)

    def upload(self, bucket, key, file):
        self.checksum(bucket, key, file, "CRC64NVME")

    def get(self, bucket, key, file):
        part = file + ".part"
        validated = S3ChecksumConfig(validate_response=True)
        self._make(S3RequestType.GET_OBJECT, "GET", f"/{bucket}/{key}", recv_filepath=part, checksum_config=validated)
        pathlib.Path(part).rename(file)

    def range(self, bucket, key, first, last, file):
        headers = [("range", f"bytes={first}-{last}")]
        self._make(S3RequestType.GET_OBJECT, "GET", f"/{bucket}/{key}", headers, recv_filepath=file)

    def delete(self, bucket, key):
        self._make(S3RequestType.DEFAULT, "DELETE", f"/{bucket}/{key}", operation_name="DeleteObject")

    def checksum(self, bucket, key, file, algorithm):
        trailer = S3ChecksumConfig(algorithm=S3ChecksumAlgorithm[algorithm], location=S3ChecksumLocation.TRAILER)
        self._put(bucket, key, file, checksum_config=trailer)


serve(awscrt.__version__, Crt())
