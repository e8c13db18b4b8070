"""Listings of more keys than anybody wants in memory."""

from __future__ import annotations

import json

from tests.fixtures.programs import run

COUNT = """
    import json, sys, time, psutil, s3dlio
    place = sys.argv[1]
    me = psutil.Process()
    # What a client and the first page take is no matter of how many keys follow.
    for first in s3dlio.list_iter(place, recursive=True):
        break
    before, most, count, last = me.memory_info().rss, 0, 0, ""
    for uri in s3dlio.list_iter(place, recursive=True):
        if count % 10000 == 0:
            most = max(most, me.memory_info().rss)
        count += 1
        ordered, last = uri > last, uri
        assert ordered, (last, uri)
    print(json.dumps({"first": first, "last": last, "count": count, "grown": most - before}))
"""


def test_two_million_keys_arrive_as_a_stream(testkit):
    place = testkit.synthetic(2_000_000, prefix="train/", digits=7, suffix=".npz", size=1)
    seen = json.loads(run(COUNT, f"{place}/train/", timeout=100))
    assert (seen["first"], seen["last"]) == (f"{place}/train/0000000.npz", f"{place}/train/1999999.npz")
    assert seen["count"] == 2_000_000
    assert seen["grown"] < 100 << 20
    # A thousand keys on each page, and the page that was asked for first.
    assert 2000 <= testkit.counts()["operations"]["ListObjectsV2"] <= 2005
