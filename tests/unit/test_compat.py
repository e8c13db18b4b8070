"""Names of earlier releases: each is there, takes what it took, and says what to use."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import re
from pathlib import Path

import pytest
import s3dlio

DOCS = Path(__file__).parents[2] / "docs"

# Every callable of the published interface, with arguments that calls of it name.
SIGNATURES = {
    "put": "uri data template max_in_flight size should_create_bucket object_type dedup_factor compress_factor "
    "data_gen_algorithm data_gen_mode chunk_size prefix num",
    "put_bytes": "uri data",
    "put_bytes_async": "uri data borrow",
    "put_many": "items max_in_flight",
    "get": "uri offset length",
    "get_range": "uri offset length",
    "get_many": "uris max_in_flight workers concurrency",
    "get_many_stats": "uris max_in_flight concurrency",
    "get_into_async": "uri expected_len",
    "list": "uri recursive pattern",
    "list_objects": "uri prefix recursive",
    "list_keys": "uri",
    "list_full_uris": "uri",
    "list_uris": "uri",
    "list_keys_from_s3": "uri",
    "stat": "uri",
    "stat_many_async": "uris max_in_flight",
    "head_async": "uri",
    "exists": "uri",
    "mkdir": "uri",
    "delete": "uri recursive",
    "delete_many": "uris",
    "get_object": "uri key offset length",
    "stat_object": "uri key",
    "get_by_key": "bucket key",
    "stat_key": "bucket key",
    "upload": "src dest max_in_flight create_bucket src_patterns dest_prefix local_dir remote_uri pattern recursive",
    "download": "src dest max_in_flight recursive src_uri dest_dir remote_uri local_dir pattern",
    "mp_get": "uri procs jobs num template",
    "create_bucket": "name",
    "delete_bucket": "name",
    "configure_s3": "endpoint_url region ca_bundle",
    "configure_tokio_threads": "n",
    "parse_s3_uri_full": "uri",
    "create_dataset": "uri options opts pattern",
    "PyDataset": "uri options opts",
    "PyDataset.from_uris": "uris options opts",
    "PyDataset.from_bytes_list": "items options opts",
    "PyDataset.get_item": "index",
    "PyS3Dataset": "uri options opts",
    "PyS3DatasetCompat": "uri options opts",
    "PyS3AsyncDataLoader": "uri options opts",
    "create_async_loader": "uri options opts pattern",
    "PyBytesAsyncDataLoader": "dataset options opts",
    "PyObjectDataLoaderSyncIter.collect_batch": "n",
    "PyVecDataset": "items",
    "PyAsyncDataLoader": "dataset options opts",
    "PyWriterOptions": "compression compression_level chunk_size",
    "PyWriterOptions.with_compression": "",
    "PyWriterOptions.with_buffer_size": "",
    "create_writer": "uri options",
    "create_filesystem_writer": "uri options",
    "create_direct_filesystem_writer": "uri options",
    "create_s3_writer": "uri options",
    "create_azure_writer": "uri options",
    "create_gcs_writer": "uri options",
    "PyObjectWriter.write_chunk": "data",
    "PyObjectWriter.write_owned_bytes": "data",
    "PyObjectWriter.finalize": "",
    "MultipartUploadWriter": "bucket key part_size max_in_flight content_type abort_on_drop",
    "MultipartUploadWriter.from_uri": "uri part_size max_in_flight content_type abort_on_drop",
    "MultipartUploadWriter.reserve": "size",
    "MultipartUploadWriter.commit": "size",
    "PyCheckpointStore": "uri strategy multipart_threshold compression_level",
    "PyCheckpointStore.save": "step epoch framework data user_meta name metadata",
    "create_tfrecord_index": "tfrecord_path index_path input_path output_path",
    "init_logging": "level",
    "init_op_log": "path",
    "generate_data": "size dedup compress",
    "generate_data_with_threads": "size dedup compress threads",
    "generate_into_buffer": "buffer dedup compress threads",
    "Generator": "size dedup compress threads chunk_size seed",
    "Generator.fill_chunk": "buffer",
    "generate_npz_bytes": "shape dtype num_samples",
    "create_multi_endpoint_store": "uris strategy",
    "create_multi_endpoint_store_from_template": "uri_template strategy",
    "create_multi_endpoint_store_from_file": "file_path strategy",
    "MultiEndpointStore.get_range": "uri offset length",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_name_takes_what_is_documented(name):
    found = s3dlio
    for part in name.split("."):
        found = getattr(found, part)
    assert set(SIGNATURES[name].split()) <= set(inspect.signature(found).parameters)


def test_every_name_of_the_page_is_there():
    page = (DOCS / "compat.md").read_text()
    names = {name for row in re.findall(r"^\| (`[^|]*)\|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert len(names) > 20
    assert names <= set(s3dlio.__all__)
    assert set(s3dlio.compat.__all__) <= names


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    return f"file://{tmp_path}" if request.param == "file" else request.getfixturevalue("bucket")


@pytest.fixture
def filled(tmp_path):
    s3dlio.put_many([(f"file://{tmp_path}/{i}", b"%d" % i) for i in range(5)])
    return f"file://{tmp_path}/"


@pytest.mark.parametrize("name", ["PyS3Dataset", "PyS3DatasetCompat"])
def test_old_data_sets(filled, name):
    with pytest.warns(DeprecationWarning, match=rf"s3dlio.{name} is an old name: use s3dlio.create_dataset") as seen:
        dataset = getattr(s3dlio, name)(filled, {"batch_size": 2})
    assert seen[0].filename == __file__
    assert [bytes(item) for item in dataset] == [b"%d" % i for i in range(5)]
    assert dataset.keys() == [*"01234"]
    assert pickle.loads(pickle.dumps(dataset))[-1] == b"4"


@pytest.mark.parametrize("name", ["PyS3AsyncDataLoader", "PyS3AsyncDataLoaderCompat"])
def test_old_loaders(filled, name):
    with pytest.warns(DeprecationWarning, match=rf"s3dlio.{name} is an old name: use s3dlio.create_async_loader"):
        loader = getattr(s3dlio, name)(filled, {"batch_size": 2})

    async def steps() -> list[list[bytes]]:
        return [[bytes(view) for view in batch] async for batch in loader]

    assert asyncio.run(steps()) == [[b"0", b"1"], [b"2", b"3"], [b"4"]]


def integers(options: dict | s3dlio.PyLoaderOptions | None, epochs: int = 1) -> list[list[list[int]]]:
    with pytest.warns(DeprecationWarning, match="PyVecDataset"):
        dataset = s3dlio.PyVecDataset(range(10, 20))
    assert len(dataset) == 10
    assert asyncio.run(dataset.get_item(3)) == 13
    loader = s3dlio.PyAsyncDataLoader(dataset, options)

    async def epoch() -> list[list[int]]:
        assert type(aiter(loader)) is s3dlio.PyAsyncDataLoaderIter
        return [batch async for batch in loader]

    return [asyncio.run(epoch()) for _ in range(epochs)]


def test_the_data_set_of_integers():
    assert integers(None) == [[[*range(10, 20)]]]
    assert integers({"batch_size": 4}) == [[[10, 11, 12, 13], [14, 15, 16, 17], [18, 19]]]
    assert integers(s3dlio.PyLoaderOptions().with_batch_size(4).drop_last(True)) == [
        [[10, 11, 12, 13], [14, 15, 16, 17]]
    ]
    first, second = integers({"batch_size": 10, "shuffle": True, "seed": 3}, epochs=2)
    assert sorted(first[0]) == sorted(second[0]) == [*range(10, 20)]
    assert first != second
    assert integers({"batch_size": 10, "shuffle": True, "seed": 3}) == [first]
    with pytest.raises(s3dlio.ConfigError, match="decoder"):
        integers({"decoder": "npz"})


def test_uris_of_s3():
    assert s3dlio.parse_s3_uri_full("s3://bucket/a/b") == {"endpoint": None, "bucket": "bucket", "key": "a/b"}
    assert s3dlio.parse_s3_uri_full("s3://10.0.0.1:9000/bucket/a/b") == {
        "endpoint": "10.0.0.1:9000",
        "bucket": "bucket",
        "key": "a/b",
    }
    for wrong in ("gs://bucket/key", "bucket/key", "s3://"):
        with pytest.raises(s3dlio.InvalidUriError):
            s3dlio.parse_s3_uri_full(wrong)


def test_head_async(filled):
    with pytest.warns(FutureWarning, match="use s3dlio.stat_async"):
        assert asyncio.run(s3dlio.head_async(f"{filled}3"))["size"] == 1


def test_other_names_of_classes(filled):
    from s3dlio import jax_tf, torch

    assert s3dlio.ObjectStoreMapDataset is torch.S3MapDataset is torch.ObjectStoreMapDataset
    assert s3dlio.ObjectStoreIterableDataset is s3dlio.S3IterableDataset
    assert s3dlio.JaxIterable is jax_tf.JaxIterable is s3dlio.S3JaxIterable
    with pytest.raises(s3dlio.ObjectNotFoundError):
        s3dlio.get(f"{filled}nothing")
    with pytest.raises(s3dlio.LengthMismatchError):
        s3dlio.get_into(f"{filled}0", bytearray(5), expected_len=5)
    with pytest.raises(s3dlio.UnsupportedOperationError):
        s3dlio.delete(filled)


def test_values_of_options_that_are_also_builders():
    options = s3dlio.PyLoaderOptions(shuffle=True, num_workers=3)
    assert (options.shuffle_value, options.num_workers_value, options.drop_last_value) == (True, 3, False)
    with pytest.raises(AttributeError):
        _ = options.batch_size_value


def test_old_listings_give_names_below_the_uri(place):
    for name in ("a", "b/c"):
        s3dlio.put_bytes(f"{place}/{name}", b"x")
    for listing in (s3dlio.list_keys, s3dlio.list_keys_from_s3):
        for uri in (place, f"{place}/"):
            with pytest.warns(FutureWarning, match="list"):
                assert listing(uri) == ["a", "b/"]


def test_names_of_the_native_module_and_of_the_generator():
    from s3dlio import _pymod

    assert _pymod.create_dataset is s3dlio.create_dataset
    assert 1 <= s3dlio.py_default_data_gen_threads() <= s3dlio.py_total_cpus()


def test_an_option_without_effect_says_so(tmp_path):
    with pytest.warns(RuntimeWarning, match="multipart_threshold"):
        store = s3dlio.PyCheckpointStore(f"file://{tmp_path}", strategy="binary", multipart_threshold=1 << 20)
    store.save(1, 1, "torch", b"weights")
    assert store.load_latest() == b"weights"


def test_what_makes_bytes_of_itself_is_written(tmp_path):
    class Record:
        def __bytes__(self) -> bytes:
            return b"record"

    s3dlio.put_bytes(f"file://{tmp_path}/record", Record())
    assert s3dlio.get(f"file://{tmp_path}/record") == b"record"
    for other in (5, 2.5, "text", [1], {}):
        with pytest.raises(TypeError, match="buffer"):
            s3dlio.put_bytes(f"file://{tmp_path}/other", other)
    assert not s3dlio.exists(f"file://{tmp_path}/other")


def test_the_earlier_name_of_random_content(tmp_path):
    s3dlio.put(f"file://{tmp_path}/", num=2, template="{}", size=100, data_gen_algorithm="prand")
    assert [len(s3dlio.get(f"file://{tmp_path}/{number}")) for number in range(2)] == [100, 100]


def test_workers_of_a_parallel_read_say_who_they_are(tmp_path, capfd):
    s3dlio.put_many([(f"file://{tmp_path}/object_{number}.dat", b"x" * 1000) for number in range(10)])
    result = s3dlio.mp_get(f"file://{tmp_path}/", procs=2, jobs=4, num=10)
    assert [(worker["worker_id"], worker["objects"]) for worker in result["workers"]] == [(0, 5), (1, 5)]
    for worker in result["workers"]:
        assert worker["throughput_mb_s"] == pytest.approx(5000 / worker["duration_seconds"] / 1e6)
    assert capfd.readouterr().err == ""
