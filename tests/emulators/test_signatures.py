"""Requests are signed as a server checks it, whatever is in them."""

from __future__ import annotations

import pytest
import s3dlio

MIB = 1 << 20


@pytest.mark.parametrize("name", ["plain", "dir/a b", "ü/日本語", "a%20b", "a+b&c=d", "it's (odd)!*", "~.-_", "@:,;$"])
def test_names_in_signed_requests(s3s, name):
    place = s3s.bucket()
    uri = f"{place}/{name}"
    s3dlio.put(uri, b"0123456789")
    assert s3dlio.get(uri) == b"0123456789"
    assert s3dlio.get_range(uri, 2, 3) == b"234"
    assert s3dlio.stat(uri)["size"] == 10
    assert s3dlio.list(f"{place}/", recursive=True) == [uri]
    s3dlio.delete(uri)
    assert s3dlio.list(f"{place}/", recursive=True) == []


def test_parts_and_ranges_are_signed_too(s3s):
    uri = f"{s3s.bucket()}/large"
    body = bytes(range(256)) * (70 * MIB // 256)
    s3dlio.put(uri, body)
    assert s3dlio.get(uri) == body


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_other_keys_are_refused(s3s, monkeypatch, name):
    place = s3s.bucket()
    monkeypatch.setenv(name, "wrong")
    for call in (
        lambda: s3dlio.put(f"{place}/key", b"x"),
        lambda: s3dlio.get(f"{place}/key"),
        lambda: s3dlio.list(f"{place}/"),
    ):
        with pytest.raises(s3dlio.PermissionDeniedError, match=place):
            call()
