"""Where the cluster is, and clients for it over http and https.

`cargo xtask test` starts the cluster and says where it is in the environment. Retries are off: a
refusal must be seen.
"""

import itertools
import os

import boto3
import pytest
from botocore.config import Config

ENDPOINTS = {"http": "STRONGROOM_S3", "https": "STRONGROOM_S3_TLS"}
_numbers = itertools.count()


def endpoint(scheme):
    return os.environ[ENDPOINTS[scheme]]


def make_client(scheme, **config):
    config = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}, **config}
    # The authority's certificate is in AWS_CA_BUNDLE, the keys in AWS_SHARED_CREDENTIALS_FILE.
    return boto3.client("s3", endpoint_url=endpoint(scheme), config=Config(**config))


@pytest.fixture(params=["http", "https"])
def scheme(request):
    return request.param


@pytest.fixture
def s3(scheme):
    return make_client(scheme)


@pytest.fixture
def bucket(s3):
    name = f"python-{os.getpid()}-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    return name
