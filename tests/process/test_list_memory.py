"""Listings of millions of keys arrive as a stream and leave memory flat."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.programs import run

KEYS = 2_000_000

PROGRAM = """
import json, resource, sys
import s3dlio

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

place = sys.argv[1]
s3dlio.exists(place + "/nothing")
before, sent = peak(), s3dlio.stats()["list_requests"]
keys = s3dlio.list_iter(place + "/", recursive=True)
first = next(keys)
after_first = s3dlio.stats()["list_requests"] - sent
number, last = 1, first
for last in keys:
    number += 1
print(json.dumps({"number": number, "last": last, "after_first": after_first, "extra": peak() - before}))
"""


@pytest.mark.timeout(300)
def test_two_million_keys(testkit):
    place = testkit.synthetic(KEYS)
    told = json.loads(run(PROGRAM, place, timeout=280, **testkit.env))
    assert told["number"] == KEYS
    assert told["after_first"] == 1
    assert told["extra"] < 200 << 20
