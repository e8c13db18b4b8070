"""Single requests are made by the thread that waits, whatever becomes of threads, connections and processes."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import s3dlio

from tests.fixtures.programs import run
from tests.fixtures.servers import FOREIGN, respond

PROGRAM = """
import os, pathlib, sys
import s3dlio

def network_threads():
    names = [task.joinpath("comm").read_text() for task in pathlib.Path("/proc/self/task").iterdir()]
    return sum(name.startswith("s3dlio-net") for name in names)

uri = f"{sys.argv[1]}/key"
s3dlio.put(uri, b"0123456789")
assert s3dlio.get(uri) == b"0123456789"
assert s3dlio.get_range(uri, 2, 3) == b"234"
assert s3dlio.stat(uri)["size"] == 10
assert s3dlio.exists(uri)
memory = bytearray(10)
assert s3dlio.get_into(uri, memory) == 10
s3dlio.delete(uri)
assert not s3dlio.exists(uri)
print(network_threads())
s3dlio.get_many([]), s3dlio.list(f"{sys.argv[1]}/")
print(network_threads() > 0)
"""


def test_single_requests_start_no_thread(bucket: str) -> None:
    assert run(PROGRAM, bucket).split() == ["0", "True"]


def test_more_threads_than_lanes_all_get_their_objects(bucket: str) -> None:
    uris = [f"{bucket}/{number:03}" for number in range(200)]
    s3dlio.put_many([(uri, uri.encode()) for uri in uris])
    with ThreadPoolExecutor(100) as threads:
        assert [bytes(body) for body in threads.map(s3dlio.get, uris)] == [uri.encode() for uri in uris]


@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_a_connection_that_ended_between_two_requests_is_replaced(scripted, monkeypatch, ending: str) -> None:
    def answer(_request, connection: socket.socket) -> None:
        respond(connection, b"body")
        if ending == "reset":
            # No lingering: the other side meets a reset instead of an end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        else:
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    server = scripted(answer)
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    for _ in range(20):
        assert s3dlio.get("s3://bucket/key") == b"body"
    assert len(server.requests) == 20
