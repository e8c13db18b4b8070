"""What is particular to S3: pages, ranges, parts, addresses and credentials; against moto."""

from __future__ import annotations

import threading

import pytest
import s3dlio

from tests.fixtures.programs import run
from tests.fixtures.servers import respond

MIB = 1 << 20


class Counted:
    """How the counters of this process change inside the block."""

    def __enter__(self):
        self.before = s3dlio.stats()
        return self

    def __exit__(self, *_):
        after = s3dlio.stats()
        self.change = {name: after[name] - self.before[name] for name in after if name != "stores"}


def pattern(size: int) -> bytes:
    """Return bytes in which every 8-byte word differs from every other."""
    import numpy as np

    return np.arange(size // 8, dtype="<u8").tobytes()


@pytest.fixture(scope="module")
def many(s3):
    """A bucket of 2,501 keys, as S3 lists 1,000 on a page."""
    place = s3.bucket("many-keys")
    s3dlio.put_many([(f"{place}/all/{i:05}", b"") for i in range(2501)])
    return place


def test_a_listing_of_several_pages_is_whole_and_sorted(many):
    expected = [f"{many}/all/{i:05}" for i in range(2501)]
    with Counted() as counted:
        assert s3dlio.list(f"{many}/all/", recursive=True) == expected
    assert counted.change["list_requests"] >= 3
    assert s3dlio.list(f"{many}/all/") == expected
    assert s3dlio.list(f"{many}/") == [f"{many}/all/"]
    assert s3dlio.list(f"{many}/all/", recursive=True, pattern=r"[05]00$") == expected[::500][: len(expected)]


def test_a_listing_can_be_taken_page_by_page(many):
    iterator = s3dlio.list_iter(f"{many}/all/", recursive=True)
    with Counted() as first:
        assert next(iterator) == f"{many}/all/00000"
    assert first.change["list_requests"] == 1
    with Counted() as rest:
        assert len([*iterator]) == 2500
    assert rest.change["list_requests"] >= 2


def test_a_data_set_of_many_objects(many):
    dataset = s3dlio.create_dataset(f"{many}/all/")
    assert len(dataset) == 2501
    assert dataset.keys()[-1] == "02500"


def test_a_tree_of_several_pages_is_deleted(s3):
    place = s3.bucket("many-deleted")
    s3dlio.put_many([(f"{place}/{kind}/{i:04}", b"") for kind in ("go", "gone") for i in range(1100)])
    s3dlio.delete(f"{place}/go", recursive=True)
    assert s3dlio.list(f"{place}/") == [f"{place}/gone/"]
    s3dlio.delete(f"{place}/", recursive=True)
    assert s3dlio.list(f"{place}/", recursive=True) == []


def test_a_large_object_comes_in_parallel_ranges(bucket):
    body = pattern(24 * MIB)
    s3dlio.put(f"{bucket}/big", body)
    for read in (
        lambda: s3dlio.get(f"{bucket}/big"),
        lambda: s3dlio.get_many([f"{bucket}/big"])[0][1],
    ):
        with Counted() as counted:
            assert read() == body
        assert (counted.change["get_requests"], counted.change["get_bytes"]) == (3, len(body))
        assert counted.change["head_requests"] == 0


def test_a_small_object_costs_one_request(bucket):
    s3dlio.put(f"{bucket}/small", b"x" * (15 * MIB))
    with Counted() as counted:
        s3dlio.get(f"{bucket}/small")
    assert counted.change["get_requests"] == 1


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 20 * MIB), (1, None), (3 * MIB + 7, 18 * MIB), (23 * MIB, 5 * MIB), (17, 17 * MIB)]
)
def test_large_ranges_are_exact(s3, offset, length):
    body = pattern(24 * MIB)
    uri = f"{s3.bucket('large-ranges')}/big"
    s3dlio.put(uri, body)
    end = None if length is None else offset + length
    assert s3dlio.get_range(uri, offset, length) == body[offset:end]


def test_a_huge_object_is_written_in_parts(bucket):
    body = pattern(70 * MIB)
    with Counted() as counted:
        s3dlio.put(f"{bucket}/huge", body)
    assert counted.change["put_requests"] == 5
    assert s3dlio.stat(f"{bucket}/huge")["size"] == len(body)
    assert s3dlio.get(f"{bucket}/huge") == body


def test_stat_tells_what_the_store_tells(bucket):
    s3dlio.put(f"{bucket}/key", b"abc")
    stat = s3dlio.stat(f"{bucket}/key")
    assert stat["etag"] == '"900150983cd24fb0d6963f7d28e17f72"'
    assert stat["size"] == 3


def test_a_missing_bucket_is_not_found(s3):
    for call in (
        lambda: s3dlio.list("s3://no-such-bucket/"),
        lambda: s3dlio.list("s3://no-such-bucket/prefix", recursive=True),
        lambda: [*s3dlio.list_iter("s3://no-such-bucket/")],
        lambda: s3dlio.get("s3://no-such-bucket/key"),
        lambda: s3dlio.put("s3://no-such-bucket/key", b"x"),
        lambda: s3dlio.create_dataset("s3://no-such-bucket/"),
    ):
        with pytest.raises(FileNotFoundError, match="no-such-bucket") as caught:
            call()
        assert caught.value.uri.startswith("s3://no-such-bucket/")


def test_an_empty_bucket_lists_as_empty(bucket):
    assert s3dlio.list(bucket) == []
    assert s3dlio.list(f"{bucket}/", recursive=True) == []


def test_directory_markers_of_other_tools_are_no_records(s3, bucket):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", s3.port)
    connection.request("PUT", f"/{bucket.removeprefix('s3://')}/data/")
    connection.getresponse().read()
    connection.close()
    s3dlio.put(f"{bucket}/data/a", b"x")
    assert s3dlio.create_dataset(f"{bucket}/data/").uris() == [f"{bucket}/data/a"]


def test_an_endpoint_in_the_uri(s3, bucket, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    name = bucket.removeprefix("s3://")
    place = f"s3://127.0.0.1:{s3.port}/{name}"
    s3dlio.put(f"{place}/dir/key", b"abc")
    assert s3dlio.get(f"{place}/dir/key") == b"abc"
    assert s3dlio.list(f"{place}/dir/") == [f"{place}/dir/key"]
    assert s3dlio.create_dataset(f"{place}/").uris() == [f"{place}/dir/key"]


def test_the_environment_is_read_at_each_call(s3, strict_s3, bucket, monkeypatch):
    s3dlio.put(f"{bucket}/key", b"abc")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", strict_s3.endpoint)
    with pytest.raises(PermissionError):
        s3dlio.get(f"{bucket}/key")
    # The endpoint for S3 wins over the one for everything.
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    with pytest.raises(PermissionError):
        s3dlio.get(f"{bucket}/key")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert s3dlio.get(f"{bucket}/key") == b"abc"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
    assert s3dlio.get(f"{bucket}/key") == b"abc"


def signed_with(scripted, monkeypatch, **environment) -> str:
    """Return the authorization of a request as a server sees it."""
    server = scripted(lambda _request, connection: respond(connection, b"x"))
    for name, value in (server.env() | environment).items():
        monkeypatch.setenv(name, value)
    s3dlio.get("s3://bucket/key")
    return server.requests[0]


def test_key_region_and_token_reach_the_signature(scripted, monkeypatch):
    request = signed_with(
        scripted, monkeypatch, AWS_ACCESS_KEY_ID="AKIA1", AWS_REGION="eu-north-1", AWS_SESSION_TOKEN="token-1"
    )
    authorization = request.headers["authorization"]
    assert "Credential=AKIA1/" in authorization
    assert "/eu-north-1/s3/aws4_request" in authorization
    assert request.headers["x-amz-security-token"] == "token-1"


def test_the_second_name_of_the_region(scripted, monkeypatch):
    request = signed_with(scripted, monkeypatch, AWS_REGION="", AWS_DEFAULT_REGION="ap-south-1")
    assert "/ap-south-1/s3/" in request.headers["authorization"]


def test_anonymous_requests_are_not_signed(scripted, monkeypatch):
    request = signed_with(
        scripted, monkeypatch, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_SKIP_SIGNATURE="true"
    )
    assert "authorization" not in request.headers


def test_path_style_is_the_default_of_an_endpoint(scripted, monkeypatch):
    request = signed_with(scripted, monkeypatch)
    assert request.target == "/bucket/key"


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_both_styles_of_address(scripted, style):
    """Names of hosts are resolved by a proxy, so that no name server is needed."""
    server = scripted(lambda _request, connection: respond(connection, b"found"))
    printed = run(
        'import s3dlio; print(bytes(s3dlio.get("s3://bucket/some/key")))',
        AWS_ENDPOINT_URL_S3="http://s3.example.test:8080",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        S3_ADDRESSING_STYLE=style,
        HTTP_PROXY=server.endpoint,
        http_proxy=server.endpoint,
        NO_PROXY="",
        no_proxy="",
    )
    assert printed == "b'found'\n"
    expected = {
        "virtual": ("bucket.s3.example.test:8080", "/some/key"),
        "path": ("s3.example.test:8080", "/bucket/some/key"),
    }
    host, path = expected[style]
    assert server.requests[0].headers["host"] == host
    assert server.requests[0].target == f"http://{host}{path}"


def test_many_threads_share_a_client(bucket):
    uris = [f"{bucket}/{i}" for i in range(32)]
    failures: list[BaseException] = []

    def work(uri: str) -> None:
        try:
            for number in range(5):
                s3dlio.put(uri, f"{uri} {number}".encode())
                assert s3dlio.get(uri) == f"{uri} {number}".encode()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(uri,)) for uri in uris]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_bound_on_requests_in_flight_holds(scripted, monkeypatch):
    lock, now, most = threading.Lock(), 0, 0

    def answer(_request, connection) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        # Long enough for the other requests of the same round to come in.
        threading.Event().wait(0.02)
        with lock:
            now -= 1
        respond(connection, b"x")

    server = scripted(answer)
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    s3dlio.get_many([f"s3://bucket/{i}" for i in range(40)], workers=5)
    assert len(server.requests) == 40
    assert most == 5
