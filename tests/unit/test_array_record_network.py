"""ArrayRecord files in an object store: what opening and reading cost in requests, and files that are replaced."""

from __future__ import annotations

import pytest
from s3dlio import errors
from s3dlio.array_record import ArrayRecordDataSource, ArrayRecordReader

from tests.fixtures.testkit import fault
from tests.unit.test_array_record import texts, write


class TestOverANetwork:
    """Requests are counted: what is read at random from a store must not cost one request a record."""

    @pytest.fixture
    def remote(self, testkit) -> str:
        uri = f"{testkit.bucket()}/data.array_record"
        write(uri, texts(10_000, 3), "group_size:1,uncompressed")
        testkit.reset()
        return uri

    def test_opening_costs_one_request(self, testkit, remote):
        source = ArrayRecordDataSource(remote)
        assert len(source) == 10_000
        assert testkit.counts()["requests"] == 1

    def test_a_small_prefetch_costs_another(self, testkit, remote):
        assert ArrayRecordReader(remote, "footer_prefetch_bytes:0").num_records() == 10_000
        assert testkit.counts()["requests"] <= 3

    def test_a_batch_costs_few_requests(self, testkit, remote):
        source = ArrayRecordDataSource(remote)
        records = texts(10_000, 3)
        testkit.reset()
        assert source[7] == records[7]
        assert testkit.counts()["requests"] == 1
        testkit.reset()
        assert source[1000:1512] == records[1000:1512]
        assert testkit.counts()["requests"] == 1
        testkit.reset()
        order = [9000, 5, 9001, 6, 4000]
        assert source[order] == [records[index] for index in order]
        assert testkit.counts()["requests"] <= 3

    def test_reading_in_order_costs_one_request_a_window(self, testkit, remote):
        reader = ArrayRecordReader(remote)
        testkit.reset()
        assert sum(1 for _ in reader) == 10_000
        assert testkit.counts()["requests"] <= 2

    def test_a_range_costs_what_lies_in_it(self, testkit):
        records = [bytes([number]) * (1 << 20) for number in range(40)]
        reader = ArrayRecordReader(
            write(f"{testkit.bucket()}/large.array_record", records, "group_size:1,uncompressed")
        )
        testkit.reset()
        assert reader.read(10, 12) == records[10:12]
        assert testkit.counts()["requests"] == 1

    def test_all_at_once_is_read_in_several_windows_at_a_time(self, testkit):
        records = [bytes([number]) * (1 << 20) for number in range(40)]
        uri = write(f"{testkit.bucket()}/large.array_record", records, "group_size:1,uncompressed")
        reader = ArrayRecordReader(uri)
        testkit.reset()
        testkit.faults(fault("stall", stage="reply", seconds=0.1))
        assert reader.read_all() == records
        counts = testkit.counts()
        assert counts["requests"] <= 14
        assert counts["most_at_once"] > 3

    def test_a_file_that_was_replaced_is_an_error(self, remote):
        source = ArrayRecordDataSource(remote)
        write(remote, texts(20))
        with pytest.raises(errors.PreconditionError, match="replaced"):
            source[3]

    def test_many_shards_open_at_once(self, testkit):
        bucket = testkit.bucket()
        for number in range(8):
            write(f"{bucket}/train-{number:05}-of-00008", texts(10))
        testkit.reset()
        testkit.faults(fault("stall", stage="reply", seconds=0.1))
        assert len(ArrayRecordDataSource(f"{bucket}/train@*")) == 80
        counts = testkit.counts()
        assert counts["requests"] == 9
        assert counts["most_at_once"] > 1
