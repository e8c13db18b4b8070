"""Several endpoints as one store: who is asked for what, and what is counted."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import s3dlio
from s3dlio.endpoints import expand_template


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("file:///a", ["file:///a"]),
        ("s3://b-{1...3}/x", ["s3://b-1/x", "s3://b-2/x", "s3://b-3/x"]),
        ("http://10.0.0.{08...10}:9000", [f"http://10.0.0.{n}:9000" for n in ("08", "09", "10")]),
        ("s3://r{1...2}-n{3...4}/", ["s3://r1-n3/", "s3://r1-n4/", "s3://r2-n3/", "s3://r2-n4/"]),
        ("{5...5}", ["5"]),
        ("s3://b-{x}", ["s3://b-{x}"]),
    ],
)
def test_templates(template, texts):
    assert expand_template(template) == texts


@pytest.mark.parametrize("template", ["s3://b{3...1}", "s3://b{1...99999}"])
def test_templates_that_are_refused(template):
    with pytest.raises(s3dlio.ConfigError, match="template"):
        expand_template(template)


@pytest.fixture
def two(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    return s3dlio.create_multi_endpoint_store([f"file://{tmp_path}/a", f"file://{tmp_path}/b/"])


def requests(store: s3dlio.MultiEndpointStore) -> list[int]:
    return [one["total_requests"] for one in store.get_endpoint_stats()]


def test_keys_go_in_turn(two, tmp_path):
    async def program() -> None:
        for number in range(4):
            await two.put(f"x/{number}", b"12345")
        assert sorted(path.name for path in (tmp_path / "a" / "x").iterdir()) == ["0", "2"]
        assert sorted(path.name for path in (tmp_path / "b" / "x").iterdir()) == ["1", "3"]
        assert await two.get("x/0") == b"12345"
        assert await two.get_range("x/1", 1, 2) == b"23"
        assert await two.get_range("x/2", offset=3) == b"45"
        assert await two.list("x") == [f"file://{tmp_path}/b/x/{n}" for n in (1, 3)]
        assert await two.list(recursive=True) == [f"file://{tmp_path}/a/x/{n}" for n in (0, 2)]
        await two.delete("x/1")
        assert not (tmp_path / "b" / "x" / "1").exists()

    asyncio.run(program())
    total = two.get_total_stats()
    assert requests(two) == [5, 5]
    assert (
        total
        == two.get_stats()
        == {
            "total_requests": 10,
            "bytes_read": 9,
            "bytes_written": 20,
            "active_requests": 0,
            "error_count": 0,
        }
    )
    assert [one["uri"] for one in two.get_endpoint_stats()] == [f"file://{tmp_path}/a", f"file://{tmp_path}/b/"]


def test_a_uri_below_an_endpoint_is_that_endpoints(two, tmp_path):
    async def program() -> None:
        for _ in range(3):
            await two.put(f"file://{tmp_path}/b/key", b"b")
            assert await two.get(f"file://{tmp_path}/b/key") == b"b"
        with pytest.raises(s3dlio.NotFoundError):
            await two.get(f"file://{tmp_path}/a/key")
        with pytest.raises(s3dlio.InvalidUriError, match="none of the endpoints"):
            await two.get(f"file://{tmp_path}/abc")

    asyncio.run(program())
    assert requests(two) == [1, 6]
    assert [one["error_count"] for one in two.get_endpoint_stats()] == [1, 0]


class _Server:
    """An S3 server with one answer for everything; it counts, and waits if told to."""

    def __init__(self, wait: threading.Event | None = None) -> None:
        seen = self.seen = Counter()
        asked = self.asked = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen[self.path] += 1
                asked.set()
                if wait is not None:
                    wait.wait(10)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.send_header("ETag", '"x"')
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.place = f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "1")
    servers = []

    def start(wait: threading.Event | None = None) -> _Server:
        servers.append(_Server(wait))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("form", ["http://{}", "s3://{}/bucket", "s3://{}/bucket/pre"])
def test_a_uri_without_a_host_goes_to_each_host_with_its_bucket(serve, form):
    servers = [serve(), serve()]
    store = s3dlio.create_multi_endpoint_store([form.format(server.place) for server in servers])

    async def program() -> None:
        for _ in range(6):
            assert await store.get("s3://bucket/pre/key") == b"ok"
        with pytest.raises(s3dlio.InvalidUriError):
            await store.get("gs://bucket/pre/key")

    asyncio.run(program())
    assert [server.seen for server in servers] == [{"/bucket/pre/key": 3}] * 2


def test_the_endpoint_with_the_fewest_requests_is_asked(serve):
    wait = threading.Event()
    slow, quick = serve(wait), serve()
    store = s3dlio.create_multi_endpoint_store(
        [f"http://{server.place}" for server in (slow, quick)], strategy="least_connections"
    )

    async def program() -> None:
        waiting = asyncio.create_task(store.get("bucket/slow"))
        assert await asyncio.to_thread(slow.asked.wait, 10)
        assert store.get_total_stats()["active_requests"] == 1
        for _ in range(5):
            await store.get("bucket/key")
        assert slow.seen == {"/bucket/slow": 1}
        wait.set()
        assert await waiting == b"ok"

    asyncio.run(asyncio.wait_for(program(), 20))
    assert quick.seen == {"/bucket/key": 5}


def test_where_endpoints_are_named(monkeypatch, tmp_path):
    (tmp_path / "list").write_text("# ours\nfile:///a{1...2}\n\n  file:///b\n")
    from_file = s3dlio.create_multi_endpoint_store_from_file(tmp_path / "list", "least_connections")
    assert (from_file.endpoint_count(), from_file.strategy()) == (3, "least_connections")
    assert s3dlio.create_multi_endpoint_store_from_template("s3://b{1...8}").endpoint_count() == 8
    with pytest.raises(s3dlio.ConfigError, match="S3_ENDPOINT_URIS"):
        s3dlio.create_multi_endpoint_store()
    monkeypatch.setenv("S3_ENDPOINT_URIS", "http://10.0.0.1:9000, http://10.0.0.{2...4}:9000,")
    store = s3dlio.create_multi_endpoint_store()
    assert (store.endpoint_count(), store.strategy()) == (4, "round_robin")
    again = pickle.loads(pickle.dumps(store))
    assert (again.endpoint_count(), again.strategy()) == (4, "round_robin")
    assert repr(again) == "MultiEndpointStore(4 endpoints, first 'http://10.0.0.1:9000')"


@pytest.mark.parametrize(
    ("uris", "strategy", "error"),
    [
        ([], "round_robin", s3dlio.ConfigError),
        (["file:///a"], "random", s3dlio.ConfigError),
        (["file:///a", "s3://b"], "round_robin", s3dlio.ConfigError),
        (["https://10.0.0.1:9000"], "round_robin", s3dlio.InvalidUriError),
        (["/a"], "round_robin", s3dlio.InvalidUriError),
        ("file:///a", "round_robin", TypeError),
    ],
)
def test_endpoints_that_are_refused(uris, strategy, error):
    with pytest.raises(error):
        s3dlio.create_multi_endpoint_store(uris, strategy)
