"""Statistics of a process, as a dict and as Prometheus reads them."""

from __future__ import annotations

import math

import pytest
import s3dlio
from prometheus_client.parser import text_string_to_metric_families


@pytest.fixture
def read_files(tmp_path):
    """Return a function that loads 12 files of 1000 bytes, and what that adds to the figures of the verb."""
    for number in range(12):
        (tmp_path / f"{number:02}").write_bytes(bytes(1000))

    def read() -> dict[str, int]:
        before = figures()
        assert len(list(s3dlio.create_async_loader(f"file://{tmp_path}/"))) == 12
        after = figures()
        return {name: after[name] - before[name] for name in ("operations", "errors", "bytes")}

    return read


def figures() -> dict[str, int]:
    none = {"operations": 0, "errors": 0, "bytes": 0}
    return s3dlio.stats()["stores"].get("file", {}).get("get", none)


def test_reads_of_a_loader_are_counted_by_store_and_verb(read_files):
    flat = s3dlio.stats()
    assert read_files() == {"operations": 12, "errors": 0, "bytes": 12_000}
    after = s3dlio.stats()
    assert after["get_requests"] - flat["get_requests"] == 12
    assert after["get_bytes"] - flat["get_bytes"] == 12_000


def test_failures_are_counted(tmp_path):
    (tmp_path / "here").write_bytes(b"x")
    before = figures()
    uris = [f"file://{tmp_path}/{name}" for name in ("here", "missing")]
    with pytest.raises(s3dlio.NotFoundError):
        list(s3dlio.PyBytesAsyncDataLoader(s3dlio.PyDataset.from_uris(uris)))
    after = figures()
    assert (after["operations"] - before["operations"], after["errors"] - before["errors"]) == (2, 1)


def test_latencies_are_a_histogram_in_seconds(read_files):
    read_files()
    latency = s3dlio.stats()["stores"]["file"]["get"]["latency"]
    assert latency["count"] == figures()["operations"] == sum(count for _, count in latency["buckets"])
    assert 0 < latency["min"] <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] < 60
    assert latency["min"] * latency["count"] <= latency["sum"] <= latency["max"] * latency["count"]
    edges = [edge for edge, _ in latency["buckets"]]
    assert edges == sorted(edges)
    assert edges[-1] > latency["max"]
    assert all(isinstance(count, int) and count > 0 for _, count in latency["buckets"])


def test_prometheus_reads_the_page(read_files):
    read_files()
    stats = s3dlio.stats()
    families = {family.name: family for family in text_string_to_metric_families(s3dlio.stats_text())}
    totals = {name: value for name, value in stats.items() if name != "stores"}
    for name, value in totals.items():
        (sample,) = families[f"s3dlio_{name}"].samples
        assert (families[f"s3dlio_{name}"].type, sample.value) == ("counter", value)
    of_verb = {"store": "file", "verb": "get"}
    figures = stats["stores"]["file"]["get"]
    for name in ("operations", "errors", "bytes"):
        values = [sample.value for sample in families[f"s3dlio_{name}"].samples if sample.labels == of_verb]
        assert values == [figures[name]]
    histogram = families["s3dlio_operation_seconds"]
    assert histogram.type == "histogram"
    mine = [sample for sample in histogram.samples if sample.labels.items() >= of_verb.items()]
    buckets = {float(s.labels["le"]): s.value for s in mine if s.name.endswith("_bucket")}
    assert buckets[math.inf] == figures["operations"]
    assert list(buckets.values()) == sorted(buckets.values())
    (total,) = [sample.value for sample in mine if sample.name.endswith("_sum")]
    assert total == pytest.approx(figures["latency"]["sum"])
