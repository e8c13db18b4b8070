"""A network that fails: every failure is an error of the right kind, in time, and never wrong bytes."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
import s3dlio

from tests.fixtures.servers import FOREIGN, free_port, respond

MIB = 1 << 20

CALLS = {
    "get": lambda: s3dlio.get("s3://bucket/key"),
    "get_range": lambda: s3dlio.get_range("s3://bucket/key", 0, 5),
    "get_many": lambda: s3dlio.get_many([f"s3://bucket/{i}" for i in range(4)]),
    "put": lambda: s3dlio.put("s3://bucket/key", b"x"),
    "put_many": lambda: s3dlio.put_many([(f"s3://bucket/{i}", b"x") for i in range(4)]),
    "list": lambda: s3dlio.list("s3://bucket/prefix"),
    "stat": lambda: s3dlio.stat("s3://bucket/key"),
    "exists": lambda: s3dlio.exists("s3://bucket/key"),
    "exists below": lambda: s3dlio.exists("s3://bucket/dir/"),
    "delete": lambda: s3dlio.delete("s3://bucket/key"),
    "delete below": lambda: s3dlio.delete("s3://bucket/dir/", recursive=True),
    "create_dataset": lambda: s3dlio.create_dataset("s3://bucket/dir/"),
    "loader": lambda: list(s3dlio.PyDataset.from_uris(["s3://bucket/key"])),
    "get_async": lambda: asyncio.run(s3dlio.get_async("s3://bucket/key")),
}

every_call = pytest.mark.parametrize("call", CALLS)


@pytest.fixture
def settings(monkeypatch):
    """Return a function that sets variables, all others that matter being unset."""
    for name in (*FOREIGN, "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)

    def put(environment: dict[str, str], **more: str) -> None:
        for name, value in (environment | more).items():
            monkeypatch.setenv(name, value)

    return put


@contextlib.contextmanager
def within(seconds: float):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def serve(scripted, settings, answer, **more: str):
    server = scripted(answer)
    settings(server.env(), **more)
    return server


@every_call
def test_a_refused_connection(call, settings):
    endpoint = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port()}"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    settings(endpoint | keys, S3DLIO_OPERATION_TIMEOUT_SECS="2", S3DLIO_MAX_RETRY_ATTEMPTS="2")
    with within(4), pytest.raises(OSError, match="s3://bucket/") as caught:
        CALLS[call]()
    assert isinstance(caught.value, s3dlio.StoreError | s3dlio.StoreTimeoutError)
    assert "refused" in str(caught.value).lower()


@every_call
def test_a_silent_server(call, silent, settings):
    settings(silent.env(), S3DLIO_OPERATION_TIMEOUT_SECS="1")
    with within(4), pytest.raises(TimeoutError, match="s3://bucket/") as caught:
        CALLS[call]()
    assert isinstance(caught.value, s3dlio.StoreTimeoutError)
    assert caught.value.uri.startswith("s3://bucket/")


def test_a_body_that_stops_halfway(scripted, settings):
    def answer(_request, connection) -> None:
        respond(connection, b"half", length=8)

    serve(scripted, settings, answer, S3DLIO_OPERATION_TIMEOUT_SECS="1")
    with within(6), pytest.raises(TimeoutError, match="s3://bucket/key"):
        s3dlio.get("s3://bucket/key")


def test_a_body_that_is_cut_off(scripted, settings):
    """The connection closes before the announced end: never the short bytes."""

    def answer(_request, connection) -> None:
        respond(connection, b"half", length=8)
        connection.close()

    serve(scripted, settings, answer, S3DLIO_MAX_RETRY_ATTEMPTS="2")
    for read in (
        lambda: s3dlio.get("s3://bucket/key"),
        lambda: s3dlio.get_range("s3://bucket/key", 0),
        lambda: s3dlio.get_many(["s3://bucket/key"]),
        lambda: list(s3dlio.PyDataset.from_uris(["s3://bucket/key"])),
    ):
        with within(6), pytest.raises(OSError, match="s3://bucket/key"):
            read()


def test_an_object_that_is_replaced_while_its_ranges_come(scripted, settings):
    """Ranges carry the first answer's tag, so two versions are never mixed."""

    def answer(request, connection) -> None:
        if "if-match" in request.headers:
            respond(connection, status="412 Precondition Failed")
        else:
            respond(connection, b"x" * (24 * MIB))

    server = serve(scripted, settings, answer)
    with within(6), pytest.raises(s3dlio.S3dlioError, match="s3://bucket/key"):
        s3dlio.get("s3://bucket/key")
    assert {request.headers.get("if-match") for request in server.requests} == {None, '"0123456789abcdef"'}


def test_a_server_that_ignores_ranges(scripted, settings):
    serve(scripted, settings, lambda _request, connection: respond(connection, b"0123456789"))
    with pytest.raises(s3dlio.S3dlioError, match="s3://bucket/key"):
        s3dlio.get_range("s3://bucket/key", 3, 4)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"])
def test_a_busy_server_is_asked_again(scripted, settings, status):
    failures = 3

    def answer(_request, connection) -> None:
        if len(server.requests) <= failures:
            respond(connection, status=status)
        else:
            respond(connection, b"at last")

    server = serve(scripted, settings, answer, S3DLIO_OPERATION_TIMEOUT_SECS="10")
    with within(8):
        assert s3dlio.get("s3://bucket/key") == b"at last"
    assert len(server.requests) == failures + 1


def test_retries_end_with_their_number(scripted, settings):
    server = serve(
        scripted,
        settings,
        lambda _request, connection: respond(connection, status="503 Slow Down"),
        S3DLIO_MAX_RETRY_ATTEMPTS="2",
        S3DLIO_OPERATION_TIMEOUT_SECS="30",
    )
    with within(5), pytest.raises(s3dlio.StoreError, match="503"):
        s3dlio.get("s3://bucket/key")
    assert len(server.requests) == 3


def test_retries_end_with_the_time(scripted, settings):
    serve(
        scripted,
        settings,
        lambda _request, connection: respond(connection, status="503 Slow Down"),
        S3DLIO_MAX_RETRY_ATTEMPTS="1000",
    )
    with within(5), pytest.raises(s3dlio.S3dlioError, match="503"):
        s3dlio.get("s3://bucket/key")


@every_call
def test_wrong_credentials(call, strict_s3, settings):
    settings(strict_s3.env, AWS_ACCESS_KEY_ID="wrong", AWS_SECRET_ACCESS_KEY="wrong-too")
    with within(4), pytest.raises(PermissionError, match="s3://bucket/") as caught:
        CALLS[call]()
    assert isinstance(caught.value, s3dlio.PermissionDeniedError)
    assert "wrong-too" not in str(caught.value)


@every_call
def test_no_credentials_for_a_private_endpoint(call, settings):
    """Nobody asks the metadata service of a cloud, which would be a long wait for nothing."""
    settings({"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_port()}"})
    with within(1), pytest.raises(PermissionError, match="AWS_ACCESS_KEY_ID"):
        CALLS[call]()


def test_a_missing_bucket_is_no_empty_one(s3, settings):
    settings(s3.env)
    with pytest.raises(FileNotFoundError, match="no-bucket-of-ours"):
        s3dlio.list("s3://no-bucket-of-ours/")


def test_a_failure_costs_the_others_of_its_call_but_not_the_next_call(scripted, settings):
    def answer(request, connection) -> None:
        if request.target.endswith("/bad"):
            respond(connection, status="403 Forbidden")
        else:
            respond(connection, b"fine")

    serve(scripted, settings, answer)
    uris = [f"s3://bucket/{name}" for name in ("a", "bad", "b")]
    with pytest.raises(s3dlio.PermissionDeniedError, match="bucket/bad"):
        s3dlio.get_many(uris)
    assert s3dlio.get_many(uris[::2]) == [(uri, b"fine") for uri in uris[::2]]


def test_a_loader_that_may_skip_does_not_skip_an_outage(scripted, settings):
    """Only damaged or missing objects are left out; a store that fails is an error."""

    def answer(request, connection) -> None:
        if request.target.endswith("/gone"):
            respond(connection, status="404 Not Found")
        else:
            respond(connection, b"x", status="403 Forbidden" if request.target.endswith("/kept") else "200 OK")

    serve(scripted, settings, answer)

    def read(*names: str) -> list:
        uris = [f"s3://bucket/{name}" for name in names]
        return list(s3dlio.PyDataset.from_uris(uris, {"on_error": "skip"}))

    assert read("a", "gone", "b") == [b"x", b"x"]
    with pytest.raises(s3dlio.PermissionDeniedError, match="kept"):
        read("a", "kept", "b")
