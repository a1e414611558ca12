"""S3, operation by operation, as botocore's model of it lists them.

What Strongroom has is probed by a function below, which looks at what came of it. What it does not have is
called all the same, with the least that the model requires, and must be refused as not implemented: nothing
is silently accepted. An operation that is added without a probe fails here.
"""

import datetime

import boto3
import pytest
from botocore.exceptions import ClientError
from conftest import SCHEMES, make_client
from test_clients import MIB, body_of, keys_of, upload_parts

OPERATIONS = boto3.client("s3", region_name="us-east-1").meta.service_model.operation_names
BODY = b"0123456789"
PART = bytes(5 * MIB)
PROBES = {}


def probe(function):
    """Named as the operation in snake case: `put_object` probes PutObject."""
    PROBES[function.__name__.replace("_", "")] = function
    return function


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(operation, scheme, bucket, record_operation):
    """It does what it is for, or says that it does not."""
    s3 = make_client(scheme, inject_host_prefix=False)
    known = PROBES.get(operation.lower())
    if known:
        s3.put_object(Bucket=bucket, Key="k", Body=BODY)
        known(s3, bucket)
        record_operation(operation, scheme, "works")
        return
    method = next(name for name, own in s3.meta.method_to_api_mapping.items() if own == operation)
    shape = s3.meta.service_model.operation_model(operation).input_shape
    with pytest.raises(ClientError) as refused:
        getattr(s3, method)(**least(shape, bucket))
    code = refused.value.response["Error"]["Code"] or "501"
    # The one that is not addressed to a bucket falls on one that cannot be; no object has a torrent.
    elsewhere = ("WriteGetObjectResponse", "GetObjectTorrent")
    assert code in ("NotImplemented", "501") or operation in elsewhere, refused.value
    record_operation(operation, scheme, code)


def least(shape, bucket, name=""):
    """The least value of a shape that the model accepts."""
    if shape is None:
        return {}
    if name in ("Bucket", "Key"):
        return {"Bucket": bucket, "Key": "k"}[name]
    if shape.type_name == "structure":
        members = [*shape.required_members, shape.serialization.get("payload")]
        if getattr(shape, "is_tagged_union", False):
            members = list(shape.members)[:1]
        return {member: least(shape.members[member], bucket, member) for member in members if member}
    if shape.type_name == "list":
        return [least(shape.member, bucket)]
    values = {
        "string": (getattr(shape, "enum", None) or ["x" * shape.metadata.get("min", 1)])[0],
        "blob": b"x",
        "boolean": True,
        "map": {},
        "timestamp": datetime.datetime(2030, 1, 1),
    }
    return values.get(shape.type_name, 1)


@probe
def list_buckets(s3, bucket):
    assert bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]


@probe
def create_bucket(s3, bucket):
    s3.create_bucket(Bucket=f"{bucket}-new")
    s3.head_bucket(Bucket=f"{bucket}-new")


@probe
def head_bucket(s3, bucket):
    s3.head_bucket(Bucket=bucket)
    assert_code("404", lambda: s3.head_bucket(Bucket=f"{bucket}-none"))


@probe
def get_bucket_location(s3, bucket):
    # None is how S3 says us-east-1.
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


@probe
def delete_bucket(s3, bucket):
    assert_code("BucketNotEmpty", lambda: s3.delete_bucket(Bucket=bucket))
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert_code("404", lambda: s3.head_bucket(Bucket=bucket))


@probe
def put_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="new", Body=BODY)
    assert body_of(s3, bucket, "new") == BODY


@probe
def get_object(s3, bucket):
    assert s3.get_object(Bucket=bucket, Key="k", Range="bytes=2-4")["Body"].read() == b"234"
    assert_code("NoSuchKey", lambda: s3.get_object(Bucket=bucket, Key="none"))


@probe
def head_object(s3, bucket):
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(BODY)


@probe
def get_object_attributes(s3, bucket):
    upload_parts(s3, bucket, "parts", PART + BODY)
    told = s3.get_object_attributes(Bucket=bucket, Key="parts", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts"])
    assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (len(PART + BODY), 2)
    assert told["ETag"].endswith("-2")


@probe
def delete_object(s3, bucket):
    s3.delete_object(Bucket=bucket, Key="k")
    assert keys_of(s3, bucket) == []


@probe
def delete_objects(s3, bucket):
    s3.put_object(Bucket=bucket, Key="left", Body=b"")
    told = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "none"}]})
    assert (len(told["Deleted"]), keys_of(s3, bucket)) == (2, ["left"])


@probe
def list_objects(s3, bucket):
    told = s3.list_objects(Bucket=bucket)["Contents"]
    assert [(entry["Key"], entry["Size"]) for entry in told] == [("k", len(BODY))]


@probe
def list_objects_v2(s3, bucket):
    s3.put_object(Bucket=bucket, Key="deep/er", Body=b"")
    told = s3.list_objects_v2(Bucket=bucket, Delimiter="/", FetchOwner=True)
    assert [entry["Key"] for entry in told["Contents"]] == ["k"] and told["Contents"][0]["Owner"]["ID"]
    assert told["CommonPrefixes"] == [{"Prefix": "deep/"}]


@probe
def list_object_versions(s3, bucket):
    told = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(one["Key"], one["VersionId"], one["IsLatest"]) for one in told] == [("k", "null", True)]
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert keys_of(s3, bucket) == []


@probe
def copy_object(s3, bucket):
    s3.copy_object(Bucket=bucket, Key="new", CopySource={"Bucket": bucket, "Key": "k"})
    assert body_of(s3, bucket, "new") == BODY


@probe
def create_multipart_upload(s3, bucket):
    with_upload(s3, bucket)


@probe
def upload_part(s3, bucket):
    upload, parts = with_upload(s3, bucket)
    assert s3.list_parts(**upload)["Parts"][0]["ETag"] == parts[0]["ETag"]


@probe
def upload_part_copy(s3, bucket):
    upload, _ = with_upload(s3, bucket)
    s3.upload_part_copy(**upload, PartNumber=2, CopySource={"Bucket": bucket, "Key": "k"}, CopySourceRange="bytes=2-4")
    assert [part["Size"] for part in s3.list_parts(**upload)["Parts"]] == [len(PART), 3]


@probe
def list_parts(s3, bucket):
    upload, parts = with_upload(s3, bucket)
    told = s3.list_parts(**upload)["Parts"]
    assert [(part["PartNumber"], part["ETag"], part["Size"]) for part in told] == [(1, parts[0]["ETag"], len(PART))]


@probe
def list_multipart_uploads(s3, bucket):
    upload, _ = with_upload(s3, bucket)
    told = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(one["Key"], one["UploadId"]) for one in told] == [(upload["Key"], upload["UploadId"])]


@probe
def complete_multipart_upload(s3, bucket):
    upload, parts = with_upload(s3, bucket)
    told = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert told["ETag"].endswith('-1"') and body_of(s3, bucket, upload["Key"]) == PART


@probe
def abort_multipart_upload(s3, bucket):
    upload, _ = with_upload(s3, bucket)
    s3.abort_multipart_upload(**upload)
    assert_code("NoSuchUpload", lambda: s3.list_parts(**upload))


@probe
def put_object_tagging(s3, bucket):
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 1


@probe
def get_object_tagging(s3, bucket):
    s3.put_object(Bucket=bucket, Key="t", Tagging="a=b")
    assert s3.get_object_tagging(Bucket=bucket, Key="t")["TagSet"] == [{"Key": "a", "Value": "b"}]


@probe
def delete_object_tagging(s3, bucket):
    s3.put_object(Bucket=bucket, Key="t", Tagging="a=b")
    s3.delete_object_tagging(Bucket=bucket, Key="t")
    assert s3.get_object_tagging(Bucket=bucket, Key="t")["TagSet"] == []


@probe
def put_bucket_tagging(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]


@probe
def get_bucket_tagging(s3, bucket):
    assert_code("NoSuchTagSet", lambda: s3.get_bucket_tagging(Bucket=bucket))


@probe
def delete_bucket_tagging(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_bucket_tagging(Bucket=bucket)
    assert_code("NoSuchTagSet", lambda: s3.get_bucket_tagging(Bucket=bucket))


@probe
def get_bucket_acl(s3, bucket):
    assert_full_control(s3.get_bucket_acl(Bucket=bucket))


@probe
def get_object_acl(s3, bucket):
    assert_full_control(s3.get_object_acl(Bucket=bucket, Key="k"))
    assert_code("NoSuchKey", lambda: s3.get_object_acl(Bucket=bucket, Key="none"))


@probe
def put_bucket_acl(s3, bucket):
    assert_own_list_alone(s3.get_bucket_acl, s3.put_bucket_acl, Bucket=bucket)


@probe
def put_object_acl(s3, bucket):
    assert_own_list_alone(s3.get_object_acl, s3.put_object_acl, Bucket=bucket, Key="k")


def assert_own_list_alone(get, put, **what):
    """The list that is there may be set, in each way; none that shares."""
    told = get(**what)
    own = {"Owner": told["Owner"], "Grants": told["Grants"]}
    put(**what, ACL="private")
    put(**what, AccessControlPolicy=own)
    assert_code("NotImplemented", lambda: put(**what, ACL="public-read"))
    assert_code("NotImplemented", lambda: put(**what, GrantRead='id="x"'))
    everyone = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    own["Grants"].append({"Grantee": everyone, "Permission": "READ"})
    assert_code("NotImplemented", lambda: put(**what, AccessControlPolicy=own))
    assert_full_control(get(**what))


def assert_full_control(told):
    """The owner has it, and nobody else has anything."""
    [grant] = told["Grants"]
    assert (grant["Grantee"]["ID"], grant["Permission"]) == (told["Owner"]["ID"], "FULL_CONTROL")


def with_upload(s3, bucket):
    """An upload with one part, as arguments of further calls, and its list of parts."""
    upload = {"Bucket": bucket, "Key": "upload"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part(**upload, PartNumber=1, Body=PART)
    return upload, [{"PartNumber": 1, "ETag": part["ETag"]}]


def assert_code(code, call):
    with pytest.raises(ClientError) as refused:
        call()
    assert refused.value.response["Error"]["Code"] == code
