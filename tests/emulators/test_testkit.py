"""The project's own server as Amazon's client sees it, and what its fixture tells of it."""

from __future__ import annotations

import io
import threading

import boto3
import pytest
import s3dlio
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.fixtures.testkit import fault

MIB = 1 << 20


@pytest.fixture
def amazon(testkit):
    client = boto3.client(
        "s3",
        endpoint_url=testkit.endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
    )
    client.create_bucket(Bucket="amazon")
    yield client
    client.close()


def test_objects_with_their_metadata(amazon):
    amazon.put_object(Bucket="amazon", Key="a/ü b%20c", Body=b"0123456789", ContentType="text/x", Metadata={"m": "v"})
    found = amazon.get_object(Bucket="amazon", Key="a/ü b%20c")
    assert found["Body"].read() == b"0123456789"
    assert (found["ContentType"], found["Metadata"]) == ("text/x", {"m": "v"})
    part = amazon.get_object(Bucket="amazon", Key="a/ü b%20c", Range="bytes=2-4")
    assert (part["Body"].read(), part["ContentRange"]) == (b"234", "bytes 2-4/10")
    assert amazon.head_object(Bucket="amazon", Key="a/ü b%20c")["ETag"] == found["ETag"]
    amazon.copy_object(Bucket="amazon", Key="copy", CopySource={"Bucket": "amazon", "Key": "a/ü b%20c"})
    assert amazon.head_object(Bucket="amazon", Key="copy")["Metadata"] == {"m": "v"}


def test_conditions(amazon):
    tag = amazon.put_object(Bucket="amazon", Key="key", Body=b"a", IfNoneMatch="*")["ETag"]
    for refused in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
        with pytest.raises(ClientError) as caught:
            amazon.put_object(Bucket="amazon", Key="key", Body=b"b", **refused)
        assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    amazon.put_object(Bucket="amazon", Key="key", Body=b"c", IfMatch=tag)
    assert amazon.get_object(Bucket="amazon", Key="key")["Body"].read() == b"c"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA256", "CRC64NVME"])
def test_checksums(amazon, algorithm):
    if algorithm in {"CRC32C", "CRC64NVME"}:
        # Amazon's client computes these only with a package that nothing else here needs.
        value = {"CRC32C": "4waSgw==", "CRC64NVME": "rosUhgp5mIg="}[algorithm]
        chosen = {f"Checksum{algorithm}": value}
    else:
        chosen = {"ChecksumAlgorithm": algorithm}
    amazon.put_object(Bucket="amazon", Key="key", Body=b"123456789", **chosen)
    found = amazon.get_object(Bucket="amazon", Key="key", ChecksumMode="ENABLED")
    assert found["Body"].read() == b"123456789"
    assert found[f"Checksum{algorithm}"]
    with pytest.raises(ClientError, match="BadDigest"):
        amazon.put_object(Bucket="amazon", Key="key", Body=b"x", **{f"Checksum{algorithm}": "AAAAAA=="})


def test_pages(amazon):
    keys = [f"{folder}/{i:03} &" for folder in "ab" for i in range(30)]
    for key in keys:
        amazon.put_object(Bucket="amazon", Key=key, Body=b"")
    pages = amazon.get_paginator("list_objects_v2")
    found = pages.paginate(Bucket="amazon", PaginationConfig={"PageSize": 7}).search("Contents[].Key")
    assert [*found] == keys
    level = pages.paginate(Bucket="amazon", Delimiter="/", PaginationConfig={"PageSize": 1})
    assert [*level.search("CommonPrefixes[].Prefix")] == ["a/", "b/"]
    deleted = amazon.delete_objects(Bucket="amazon", Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(deleted["Deleted"]) == len(keys)
    assert amazon.list_objects_v2(Bucket="amazon")["KeyCount"] == 0


def test_parts(amazon):
    body = bytes(range(256)) * (11 * MIB // 256)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    amazon.upload_fileobj(io.BytesIO(body), "amazon", "parts", Config=config)
    assert amazon.head_object(Bucket="amazon", Key="parts")["ETag"].endswith('-3"')
    assert amazon.get_object(Bucket="amazon", Key="parts")["Body"].read() == body
    upload = amazon.create_multipart_upload(Bucket="amazon", Key="left")["UploadId"]
    amazon.upload_part(Bucket="amazon", Key="left", UploadId=upload, PartNumber=3, Body=b"abc")
    assert [part["Size"] for part in amazon.list_parts(Bucket="amazon", Key="left", UploadId=upload)["Parts"]] == [3]
    assert [u["Key"] for u in amazon.list_multipart_uploads(Bucket="amazon")["Uploads"]] == ["left"]
    amazon.abort_multipart_upload(Bucket="amazon", Key="left", UploadId=upload)
    assert "Uploads" not in amazon.list_multipart_uploads(Bucket="amazon")


def test_what_is_missing_has_its_code(amazon):
    for call, code in (
        (lambda: amazon.get_object(Bucket="amazon", Key="missing"), "NoSuchKey"),
        (lambda: amazon.get_object(Bucket="missing", Key="key"), "NoSuchBucket"),
        (lambda: amazon.delete_bucket(Bucket="missing"), "NoSuchBucket"),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == code


def test_the_fixture_tells_what_was_asked(testkit):
    place = testkit.bucket()
    s3dlio.put(f"{place}/key", b"abc")
    testkit.reset()
    testkit.faults(fault("stall", seconds=0.2, where={"operation": "GetObject", "times": 4}))
    threads = [threading.Thread(target=s3dlio.get, args=(f"{place}/key",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    counts = testkit.counts()
    assert (counts["requests"], counts["operations"]) == (4, {"GetObject": 4})
    assert counts["most_at_once"] == 4
    seen = testkit.requests("GetObject")[0]
    assert (seen["key"], seen["status"], seen["fault"]["kind"]) == ("key", 200, "stall")
    assert "AWS4-HMAC-SHA256" in seen["headers"]["authorization"]


def test_both_languages_are_served(testkit, gcs):
    place = gcs.bucket()
    gcs.put(f"{place}/key", b"abc")
    assert gcs.get(f"{place}/key") == b"abc"
    assert gcs.keys(place) == ["key"]
    assert place.startswith("gs://")
    assert testkit.bucket().startswith("s3://")
