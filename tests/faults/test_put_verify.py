"""Looking at what was put: a server that keeps something else than it was given is found out."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import s3dlio

MIB = 1 << 20


class _Server:
    """Takes objects, and tells another length or entity tag of them than it answered."""

    def __init__(self) -> None:
        ours = self
        self.heads, self.length, self.tag = 0, 0, '"written"'
        self.change: dict[str, object] = {}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if "partNumber" in self.path:
                    ours.length += len(body)
                else:
                    ours.length = len(body)
                self.answer(200, {"ETag": '"written"'})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if "uploads" in self.path:
                    ours.length = 0
                    text = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
                else:
                    tag = "<ETag>&quot;written&quot;</ETag>"
                    text = f"<CompleteMultipartUploadResult>{tag}</CompleteMultipartUploadResult>"
                self.answer(200, {}, text.encode())

            def do_DELETE(self) -> None:
                self.answer(204, {})

            def do_HEAD(self) -> None:
                ours.heads += 1
                self.send_response(int(str(ours.change.get("status", 200))))
                self.send_header("Content-Length", str(ours.change.get("length", ours.length)))
                self.send_header("ETag", str(ours.change.get("tag", ours.tag)))
                self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
                self.end_headers()

            def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()


@pytest.fixture
def server(monkeypatch):
    server = _Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server.server_port}")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "1")
    yield server
    server.server.shutdown()
    server.thread.join()
    server.server.server_close()


def write(part_size: int, size: int) -> None:
    with s3dlio.MultipartUploadWriter.from_uri("s3://bucket/key", part_size=part_size) as writer:
        writer.write(bytes(size))


PUTS = {
    "put": lambda: s3dlio.put("s3://bucket/key", b"content"),
    "put_many": lambda: s3dlio.put_many([("s3://bucket/key", b"content")]),
    "generated": lambda: s3dlio.put("s3://bucket/key", 1, size=7),
}
WRITES = {
    "writer of one part": lambda: write(5 * MIB, 7),
    "writer of parts": lambda: write(5 * MIB, 11 * MIB),
}
WRONG = {
    "short": ({"length": 3}, s3dlio.CorruptDataError, "3 bytes"),
    "another": ({"tag": '"other"'}, s3dlio.CorruptDataError, "other"),
    "gone": ({"status": 404}, s3dlio.NotFoundError, "key"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", [*PUTS, *WRITES])
def test_what_is_not_there_is_found_out(monkeypatch, server, name, wrong):
    server.change, error, text = WRONG[wrong]
    call = (PUTS | WRITES)[name]
    variables = {"S3DLIO_PUT_VERIFY": name in PUTS, "S3DLIO_MPU_PUT_VERIFY": name in WRITES}
    monkeypatch.setenv("S3DLIO_PUT_VERIFY", "0" if name in PUTS else "1")
    monkeypatch.setenv("S3DLIO_MPU_PUT_VERIFY", "1" if name in PUTS else "0")
    if name != "writer of parts" or wrong != "short":
        # The other variable does not look, and a look that is always taken at parts only finds a length that is wrong.
        call()
    for variable, asked in variables.items():
        monkeypatch.setenv(variable, "yes" if asked else "no")
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("name", [*PUTS, *WRITES])
def test_what_is_there_passes(monkeypatch, server, name):
    monkeypatch.setenv("S3DLIO_PUT_VERIFY", "1")
    monkeypatch.setenv("S3DLIO_MPU_PUT_VERIFY", "1")
    (PUTS | WRITES)[name]()
    # Parts are looked at anyway when they are put together.
    assert server.heads == (2 if name == "writer of parts" else 1)


def test_files_are_looked_at_too(monkeypatch, tmp_path):
    monkeypatch.setenv("S3DLIO_PUT_VERIFY", "1")
    monkeypatch.setenv("S3DLIO_MPU_PUT_VERIFY", "1")
    s3dlio.put(f"file://{tmp_path}/a", b"content")
    s3dlio.put_many([(f"file://{tmp_path}/b", b"content"), (f"memory://bucket/{tmp_path.name}", b"content")])
    with s3dlio.create_writer(f"file://{tmp_path}/c", s3dlio.PyWriterOptions(compression="gzip")) as writer:
        writer.write(b"content" * 1000)
    assert s3dlio.get(f"file://{tmp_path}/a") == (tmp_path / "b").read_bytes() == b"content"
    assert s3dlio.get(f"file://{tmp_path}/c.gz", decompress=True) == b"content" * 1000


def test_a_variable_that_says_neither_yes_nor_no(monkeypatch, tmp_path):
    monkeypatch.setenv("S3DLIO_PUT_VERIFY", "maybe")
    with pytest.raises(s3dlio.ConfigError, match="S3DLIO_PUT_VERIFY"):
        s3dlio.put(f"file://{tmp_path}/a", b"content")
    assert not (tmp_path / "a").exists()
