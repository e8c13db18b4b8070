"""Row groups of Parquet files, against pyarrow: read, indexed, generated, and through loaders."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3dlio

CODECS = ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]


def table(rows: int = 1000) -> pa.Table:
    """Make columns of every shape that training data has."""
    numbers = np.random.default_rng(5)
    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "value": pa.array(numbers.random(rows), pa.float32()),
            "name": pa.array([f"name {number % 7}" if number % 5 else None for number in range(rows)]),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(numbers.random(rows * 3), pa.float32()), 3),
            "tags": pa.array([[*range(number % 4)] for number in range(rows)], pa.list_(pa.int16())),
            "nested": pa.array([{"a": number, "b": [str(number)]} for number in range(rows)]),
        }
    )


def written(data: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(data, out, row_group_size=options.pop("row_group_size", 300), **options)
    return out.getvalue()


def batch(view: s3dlio.BytesView) -> pa.RecordBatch:
    stream = pa.ipc.open_stream(pa.py_buffer(view))
    found = stream.read_next_batch()
    with pytest.raises(StopIteration):
        stream.read_next_batch()
    return found


@pytest.fixture(params=["file", "s3", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    return f"file://{tmp_path}" if request.param == "file" else f"memory://{tmp_path.name}"


@pytest.fixture
def uri(place: str) -> str:
    s3dlio.put_bytes(f"{place}/table.parquet", written(table()))
    return f"{place}/table.parquet"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_row_groups_are_those_that_pyarrow_reads(codec: str, version: str, tmp_path: Path) -> None:
    data = table()
    path = tmp_path / "table.parquet"
    path.write_bytes(written(data, compression=codec, data_page_version=version))
    theirs = pq.ParquetFile(path)
    for group in range(4):
        ours = pa.Table.from_batches([batch(s3dlio.parquet_get_rg(f"file://{path}", group, decode="arrow"))])
        assert ours.equals(theirs.read_row_group(group).cast(ours.schema))
    assert s3dlio.parquet_rg_row_offsets(f"file://{path}") == [0, 300, 600, 900, 1000]


def test_columns_by_number_and_by_name(uri: str) -> None:
    expected = table().slice(300, 300)
    for columns in ([0, 3], ["id", "vector"], ["vector", 0, "id"]):
        found = batch(s3dlio.parquet_get_rg(uri, 1, columns, decode="arrow"))
        assert found.schema.names == ["id", "vector"]
        assert found.column("id").equals(expected.column("id").combine_chunks())
    nested = batch(s3dlio.parquet_get_rg(uri, 1, ["nested"], decode="arrow"))
    assert nested.column("nested").to_pylist() == expected.column("nested").to_pylist()


def test_raw_bytes_are_those_of_the_file(uri: str) -> None:
    content = bytes(s3dlio.get(uri))
    metadata = pq.read_metadata(io.BytesIO(content))
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        chunks = [group.column(column) for column in range(group.num_columns)]
        start = min(c.dictionary_page_offset or c.data_page_offset for c in chunks)
        end = max((c.dictionary_page_offset or c.data_page_offset) + c.total_compressed_size for c in chunks)
        assert s3dlio.parquet_get_rg(uri, number) == content[start:end]
    index = s3dlio.PyParquetIndex(col_indices=["value"])
    assert index.ensure_indexed([uri], epoch=0, batch_size=4) == 1
    offset, length = index.rg_range(uri, 2)
    assert s3dlio.parquet_get_rg(uri, 2, ["value"]) == content[offset : offset + length]
    assert length < 300 * 8


def test_index(uri: str) -> None:
    index = s3dlio.PyParquetIndex(col_indices=None, footer_cap=4 << 20)
    assert index.file_rg_count(uri) is None
    with pytest.raises(KeyError, match="ensure_indexed"):
        index.rg_range(uri, 0)
    assert index.ensure_indexed([uri, uri], epoch=1, batch_size=16) == 1
    assert index.ensure_indexed([uri], epoch=2, batch_size=16) == 0
    assert index.file_rg_count(uri) == 4
    ranges = [index.rg_range(uri, number) for number in range(4)]
    assert [index.rg_lookup(uri, row) for row in (0, 299, 300, 999)] == [
        (0, *ranges[0]), (0, *ranges[0]), (1, *ranges[1]), (3, *ranges[3]),
    ]  # fmt: skip
    assert index.rg_lookup(uri, 5000)[0] == 3
    with pytest.raises(s3dlio.OutOfRangeError):
        index.rg_range(uri, 4)
    again = pickle.loads(pickle.dumps(index))
    assert len(again) == 0
    assert again.ensure_indexed([uri]) == 1
    assert again.rg_range(uri, 1) == ranges[1]


def test_footers_longer_than_what_is_read_first(place: str) -> None:
    wide = pa.table({f"column {number}": pa.array([1.0, 2.0]) for number in range(500)})
    s3dlio.put_bytes(f"{place}/wide.parquet", written(wide))
    source = s3dlio.ParquetDataSource(f"{place}/wide.parquet", decode="arrow", footer_cap=8)
    assert batch(source[0]).num_columns == 500


def test_requests(testkit) -> None:
    place = testkit.bucket("parquet")
    uris = [f"{place}/{number}.parquet" for number in range(5)]
    s3dlio.put_many([(uri, written(table())) for uri in uris])
    s3dlio.parquet_cache_clear()
    before = testkit.counts()["requests"]
    for _ in range(3):
        for uri in uris:
            s3dlio.parquet_get_rg(uri, 1, ["id", "value"], decode="arrow")
    # One for each footer, and one for each group, whose columns lie together.
    assert testkit.counts()["requests"] - before == 5 + 15


def test_known_footers(place: str) -> None:
    s3dlio.parquet_cache_clear()
    uris = [f"{place}/{number}.parquet" for number in range(3)]
    for uri in uris:
        s3dlio.put_bytes(uri, written(table()))
        s3dlio.parquet_rg_row_offsets(uri)
    assert s3dlio.parquet_cache_len() == 3
    assert s3dlio.parquet_cache_invalidate(uris[0])
    assert not s3dlio.parquet_cache_invalidate(uris[0])
    assert s3dlio.parquet_cache_len() == 2
    s3dlio.parquet_cache_clear()
    assert s3dlio.parquet_cache_len() == 0


def test_a_file_that_was_replaced_is_read_anew(uri: str) -> None:
    assert batch(s3dlio.parquet_get_rg(uri, 0, decode="arrow")).num_rows == 300
    s3dlio.put_bytes(uri, written(table(50), row_group_size=20))
    assert batch(s3dlio.parquet_get_rg(uri, 0, decode="arrow")).num_rows == 20


def test_threads_read_at_the_same_time(uri: str) -> None:
    expected = [300, 300, 300, 100]
    with ThreadPoolExecutor(16) as threads:
        read = threads.map(lambda number: batch(s3dlio.parquet_get_rg(uri, number % 4, None, 4096, "arrow")), range(64))
        assert [found.num_rows for found in read] == expected * 16


async def test_from_a_coroutine(uri: str) -> None:
    assert await s3dlio.parquet_get_rg_async(uri, 3) == s3dlio.parquet_get_rg(uri, 3)


def test_data_source(place: str) -> None:
    uris = [f"{place}/{number}.parquet" for number in range(2)]
    for uri in uris:
        s3dlio.put_bytes(uri, written(table()))
    source = s3dlio.ParquetDataSource(uris, columns=["id"], decode="arrow")
    assert len(source) == 8
    assert source.place(5) == (uris[1], 1)
    assert [batch(view).num_rows for view in source] == [300, 300, 300, 100] * 2
    assert [batch(view).num_rows for view in source[2:5]] == [300, 100, 300]
    assert batch(source[-1]).column("id").to_pylist() == [*range(900, 1000)]
    with pytest.raises(s3dlio.OutOfRangeError, match="row group 8"):
        source[8]
    if not place.startswith("memory"):
        assert pickle.loads(pickle.dumps(source))[3] == source[3]


def test_loader_items_have_their_places(place: str) -> None:
    uris = [f"{place}/rows/{number}.parquet" for number in range(3)]
    for uri in uris:
        s3dlio.put_bytes(uri, written(table()))
    s3dlio.put_bytes(f"{place}/rows/_SUCCESS", b"")
    loader = s3dlio.create_async_loader(f"{place}/rows/", {"format": "parquet", "prefetch": 16})
    items = [*loader]
    assert len(loader) == 12
    assert [(item.file_uri, item.rg_idx) for item in items] == [(uri, number) for uri in uris for number in range(4)]
    for item in items:
        assert bytes(item) == item.data == s3dlio.parquet_get_rg(item.file_uri, item.rg_idx)
        assert item.byte_count == len(item) == len(item.data)
        assert (item["uri"], item["rg_idx"], item["data"]) == (item.file_uri, item.rg_idx, item.data)
    with pytest.raises(KeyError):
        items[0]["rows"]
    options = {"format": "parquet", "decode": "arrow", "columns": ["id"], "footer_cap": 1 << 16, "batch_size": 5}
    shuffled = s3dlio.create_async_loader(f"{place}/rows/", options | {"shuffle": True, "seed": 3})
    batches = [*shuffled]
    assert [len(items) for items in batches] == [5, 5, 2]
    places = [(item.file_uri, item.rg_idx) for items in batches for item in items]
    assert sorted(places) == sorted((item.file_uri, item.rg_idx) for item in items)
    for items in batches:
        for item in items:
            first = item.rg_idx * 300
            assert batch(item.data).column("id").to_pylist() == [*range(first, min(first + 300, 1000))]


def test_other_loaders_take_row_groups(uri: str) -> None:
    from s3dlio.torch import Loader

    source = s3dlio.ParquetDataSource(uri, decode="arrow")
    samples = [view for views in Loader(source, batch_size=2, collate="list") for view in views]
    assert [batch(view.numpy()).num_rows for view in samples] == [300, 300, 300, 100]
    found = s3dlio.create_dataset(uri, format="auto")
    assert len(found) == 4
    if not uri.startswith("memory"):
        assert len(pickle.loads(pickle.dumps(found))) == 4


@pytest.mark.parametrize("bad", [{"columns": ["absent"]}, {"columns": [6]}, {"columns": [-1]}, {"columns": []}])
def test_columns_that_are_not_there(uri: str, bad: dict) -> None:
    with pytest.raises(s3dlio.ConfigError, match="columns"):
        s3dlio.ParquetDataSource(uri, **bad)


def test_bad_options(uri: str) -> None:
    with pytest.raises(s3dlio.ConfigError, match="decode"):
        s3dlio.parquet_get_rg(uri, 0, decode="csv")
    with pytest.raises(s3dlio.ConfigError, match="footer_cap"):
        s3dlio.parquet_get_rg(uri, 0, footer_cap=1)
    with pytest.raises(s3dlio.OutOfRangeError):
        s3dlio.parquet_get_rg(uri, 4)
    with pytest.raises(s3dlio.NotFoundError):
        s3dlio.parquet_get_rg(uri + ".absent", 0)
    with pytest.raises(s3dlio.ConfigError, match="columns"):
        s3dlio.create_async_loader(uri, {"columns": ["id"]})


def test_every_cut_and_many_flipped_bytes_are_errors_or_harmless(tmp_path: Path) -> None:
    content = written(table(60), row_group_size=30, compression="zstd", write_page_checksum=True)
    path = tmp_path / "damaged.parquet"
    allowed = (s3dlio.CorruptDataError, s3dlio.UnsupportedError, s3dlio.OutOfRangeError)
    for end in range(0, len(content), 97):
        path.write_bytes(content[:end])
        with pytest.raises(s3dlio.CorruptDataError):
            s3dlio.parquet_get_rg(f"file://{path}", 0, decode="arrow")
    for at in range(0, len(content), 23):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :])
        for decode in ("raw", "arrow"):
            try:
                s3dlio.parquet_get_rg(f"file://{path}", 1, decode=decode)
            except allowed as error:
                assert str(path) in str(error)  # noqa: PT017 - whether it is raised depends on the byte


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 16, 2), (200, 1000, 3)])
def test_generated_files(shape: tuple[int, int, int], place: str) -> None:
    columns, rows, groups = shape
    uri = f"{place}/made/part.parquet"
    s3dlio.generate_and_write_parquet(uri, columns, rows, groups)
    for content in (bytes(s3dlio.get(uri)), bytes(s3dlio.generate_parquet_bytes(columns, rows, groups))):
        found = pq.read_table(io.BytesIO(content))
        assert found.schema.names == [f"col{number}" for number in range(columns)]
        assert all(field.type == pa.float32() for field in found.schema)
        metadata = pq.read_metadata(io.BytesIO(content))
        assert [metadata.row_group(number).num_rows for number in range(groups)] == [rows] * groups
        numbers = found.column("col0").to_numpy()
        assert ((numbers >= 0) & (numbers < 1)).all()
    assert batch(s3dlio.parquet_get_rg(uri, groups - 1, [0], decode="arrow")).num_rows == rows


def test_generated_schemas_and_other_numbers_each_time(place: str) -> None:
    uri = f"{place}/flux.parquet"
    schema = [("encodings", 500), ("mean", 20), ("timestamp", 1)]
    s3dlio.generate_and_write_parquet_schema_streaming(uri, schema, 48, 6)
    found = pq.read_table(io.BytesIO(bytes(s3dlio.get(uri))))
    assert found.num_rows == 288
    assert found.schema.field("encodings").type.list_size == 500
    assert found.schema.field("timestamp").type == pa.float32()
    other = pq.read_table(io.BytesIO(bytes(s3dlio.generate_parquet_bytes_schema(schema, 48, 6))))
    assert other.schema.equals(found.schema)
    assert not other.column("mean").equals(found.column("mean"))
    for wrong in ([], [("a", 0)]):
        with pytest.raises(s3dlio.ConfigError):
            s3dlio.generate_parquet_bytes_schema(wrong, 1, 1)
