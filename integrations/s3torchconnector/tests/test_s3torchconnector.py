"""Names and behaviour of s3torchconnector, beside it and over our stores."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import pickle
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import s3dlio
import s3dlio_s3torchconnector as ours
import s3torchconnector as real
import torch
import torch.distributed.checkpoint as dcp
from s3dlio.errors import ConfigError
from s3dlio_s3torchconnector import dcp as our_dcp
from s3torchconnector import dcp as theirs
from torch.utils.data import DataLoader

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.distributed.*:UserWarning")

FOLDER = Path(__file__).parents[1]
REGION = "us-east-1"
NAMES = ["a", "b/c", "b/d", "bc", "z"]


@pytest.fixture(params=["s3", "gs", "file"])
def store(request, place) -> str:
    return place(request.param)


@pytest.fixture(autouse=True)
def settings(s3, monkeypatch):
    # What a test puts into the environment goes with it, and the server's own settings were there before.
    for name in ("AWS_REGION", "AWS_PROFILE", "AWS_SKIP_SIGNATURE", "S3_ADDRESSING_STYLE", "S3DLIO_MAX_RETRY_ATTEMPTS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def objects(store) -> str:
    s3dlio.put_many([(f"{store}/in/{name}", name.encode() * 3) for name in NAMES])
    return f"{store}/in"


def content(reader: Any) -> bytes:
    return reader.read()


def key(reader: Any) -> str:
    return reader.key


class TestNames:
    @pytest.mark.parametrize(
        ("name", "methods", "left_out"),
        [
            ("S3Checkpoint", ["__init__", "reader", "writer"], set()),
            ("S3ClientConfig", ["__init__"], set()),
            ("S3ReaderConstructor", ["sequential", "range_based", "default"], set()),
            ("dcp.S3StorageWriter", ["__init__"], set()),
            ("dcp.S3StorageReader", ["__init__"], {"reader_constructor"}),
            ("dcp.S3FileSystem", ["__init__"], {"s3_client"}),
            ("dcp.BinaryPrefixStrategy", ["__init__", "generate_prefix"], set()),
            ("dcp.HexPrefixStrategy", ["__init__", "generate_prefix"], set()),
            ("dcp.NumericPrefixStrategy", ["__init__"], set()),
        ],
    )
    def test_arguments_are_theirs(self, name, methods, left_out):
        for method in methods:
            their_names, our_names = (
                [*inspect.signature(getattr(_member(module, name), method)).parameters] for module in (real, ours)
            )
            assert [one for one in our_names if one in their_names] == [
                one for one in their_names if one not in left_out
            ]

    @pytest.mark.parametrize("name", ["S3MapDataset", "S3IterableDataset"])
    def test_data_sets_take_their_arguments(self, bucket, name):
        for method in ("from_prefix", "from_objects"):
            parameters = inspect.signature(getattr(getattr(real, name), method)).parameters.values()
            defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
            (first,) = (one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD)
            made = getattr(getattr(ours, name), method)(**{first: f"{bucket}/"}, region=REGION, **defaults)
            assert made.region == REGION

    def test_the_names_of_earlier_releases(self, monkeypatch):
        from s3dlio.compat import s3torchconnector

        assert {name: getattr(ours, name) for name in s3torchconnector.__all__} == {
            name: getattr(s3torchconnector, name) for name in s3torchconnector.__all__
        }
        monkeypatch.setitem(sys.modules, "s3dlio_s3torchconnector", None)
        with pytest.raises(ModuleNotFoundError, match="pip install s3dlio-s3torchconnector"):
            importlib.reload(s3torchconnector)

    def test_prefixes_are_theirs(self):
        for options in ({"prefix_count": 4}, {"prefix_count": 300, "epoch_num": 2, "min_prefix_length": 3}, {}):
            for name in ("BinaryPrefixStrategy", "HexPrefixStrategy"):
                expected, found = (getattr(module, name)(**options) for module in (theirs, our_dcp))
                for rank in (0, 1, 3, 17, 299):
                    assert found.generate_prefix(rank) == expected.generate_prefix(rank)

    def test_what_cannot_be_followed_is_refused(self, bucket):
        with pytest.raises(ConfigError, match="throughput_target_gbps"):
            ours.S3ClientConfig(throughput_target_gbps=20)
        with pytest.raises(ConfigError, match="AWS_REGION is 'us-east-1', expected 'eu-west-3'"):
            ours.S3Checkpoint("eu-west-3")
        with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL_S3"):
            ours.S3MapDataset.from_prefix(bucket, region=REGION, endpoint="http://127.0.0.1:1")
        for option in ({"min_prefix_length": 0}, {"prefix_count": 0}):
            with pytest.raises(ValueError, match=next(iter(option))):
                our_dcp.HexPrefixStrategy(**option)
        with pytest.raises(ValueError, match="buffer_size"):
            ours.S3ReaderConstructor.range_based(-1)

    def test_settings_reach_the_environment(self, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "")
        monkeypatch.setenv("AWS_REGION", "")
        config = ours.S3ClientConfig(unsigned=True, force_path_style=True, max_attempts=3, profile="other")
        ours.S3Checkpoint("eu-west-3", "http://127.0.0.1:1", config)
        assert {
            "AWS_REGION": "eu-west-3",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
            "AWS_SKIP_SIGNATURE": "true",
            "S3_ADDRESSING_STYLE": "path",
            "S3DLIO_MAX_RETRY_ATTEMPTS": "2",
            "AWS_PROFILE": "other",
        }.items() <= os.environ.items()


def _member(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module


@pytest.mark.parametrize(
    "construct",
    [ours.S3ReaderConstructor.sequential(), ours.S3ReaderConstructor.range_based(4)],
    ids=["whole", "range"],
)
class TestReaders:
    def test_they_are_files(self, store, construct):
        s3dlio.put_bytes(f"{store}/dir/x", b"0123456789")
        reader = construct(f"{store}/dir/x")
        bucket, _, start = (store.partition("://")[2] + "/dir/x").partition("/")
        assert (reader.bucket, reader.key) == (bucket, start)
        assert (reader.read(3), reader.tell(), reader.read(2), reader.read()) == (b"012", 3, b"34", b"56789")
        assert reader.read() == reader.read(4) == b""
        assert (reader.seek(-4, io.SEEK_END), reader.read(2), reader.seek(-1, io.SEEK_CUR)) == (6, b"67", 7)
        buffer = bytearray(5)
        assert (reader.readinto(buffer), buffer) == (3, b"789\0\0")
        assert (reader.seek(50), reader.read(), reader.seek(0)) == (10, b"", 0)
        assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
        for wrong in ((-1,), (1, 3), (-20, io.SEEK_CUR), (-20, io.SEEK_END)):
            with pytest.raises(ValueError, match="seek"):
                reader.seek(*wrong)
        assert [*io.TextIOWrapper(reader)] == ["0123456789"]

    def test_a_missing_object(self, store, construct):
        with pytest.raises(ours.S3Exception, match="nothing"):
            construct(f"{store}/nothing").read()

    def test_both_data_sets_take_them(self, objects, construct):
        for kind in (ours.S3MapDataset, ours.S3IterableDataset):
            data = kind.from_prefix(f"{objects}/b", region=REGION, transform=content, reader_constructor=construct)
            assert [*data] == [b"b/cb/cb/c", b"b/db/db/d", b"bcbcbc"]


class TestDataSets:
    def test_by_prefix_and_by_objects(self, objects):
        for prefix, expected in (
            (f"{objects}/", NAMES),
            (f"{objects}/b", NAMES[1:4]),
            (f"{objects}/b/", NAMES[1:3]),
            (f"{objects}/nothing", []),
        ):
            data = ours.S3MapDataset.from_prefix(prefix, region=REGION, transform=key)
            assert [data[at].partition("in/")[2] for at in range(len(data))] == expected
            assert [
                one.partition("in/")[2]
                for one in ours.S3IterableDataset.from_prefix(prefix, region=REGION, transform=key)
            ] == expected
        data = ours.S3MapDataset.from_objects([f"{objects}/z", f"{objects}/a"], region=REGION)
        assert [data[0].read(), data[-1].read(), len(data)] == [b"zzz", b"aaa", 2]
        assert (data.region, data.endpoint) == (REGION, None)
        assert len(ours.S3MapDataset.from_objects(f"{objects}/z", region=REGION)) == 1
        with pytest.raises(IndexError):
            data[2]
        with pytest.raises(ours.S3Exception, match="missing"):
            ours.S3MapDataset.from_objects(f"{objects}/missing", region=REGION)[0]

    def test_workers(self, objects):
        data = ours.S3MapDataset.from_prefix(f"{objects}/", region=REGION, transform=content)
        read = [one for batch in DataLoader(data, batch_size=2, num_workers=2) for one in batch]
        assert read == [name.encode() * 3 for name in NAMES]
        for sharded, times in ((False, 2), (True, 1)):
            stream = ours.S3IterableDataset.from_prefix(
                f"{objects}/", region=REGION, transform=content, enable_sharding=sharded
            )
            read = [*DataLoader(stream, batch_size=None, num_workers=2)]
            assert sorted(read) == sorted([name.encode() * 3 for name in NAMES] * times)
        again = pickle.loads(pickle.dumps(stream))
        assert [*again] == [name.encode() * 3 for name in NAMES]

    def test_ranks_share_the_objects(self, objects):
        read = []
        for rank in range(2):
            stream = ours.S3IterableDataset.from_prefix(
                f"{objects}/", region=REGION, transform=content, enable_sharding=True
            )
            stream._rank, stream._world = rank, 2
            read += [*DataLoader(stream, batch_size=None, num_workers=2)]
        assert sorted(read) == sorted(name.encode() * 3 for name in NAMES)

    def test_what_they_give_is_what_s3torchconnector_gives(self, bucket, s3):
        s3dlio.put_many([(f"{bucket}/in/{name}", name.encode() * 3) for name in NAMES])
        config = real.S3ClientConfig(force_path_style=True)
        place = {"region": REGION, "endpoint": s3.endpoint}
        for prefix in ("in/", "in/b", "", "in/b/c"):
            expected = real.S3MapDataset.from_prefix(
                f"{bucket}/{prefix}", **place, transform=content, s3client_config=config
            )
            here = ours.S3MapDataset.from_prefix(f"{bucket}/{prefix}", **place, transform=content)
            assert [here[at] for at in range(len(here))] == [expected[at] for at in range(len(expected))]


def fail_in(writer: Any) -> None:
    with writer:
        torch.save({"w": torch.zeros(9)}, writer)
        raise ZeroDivisionError


class TestCheckpoints:
    def test_torch_saves_and_loads(self, store):
        state = {"w": torch.arange(3_000_000.0), "step": 3}
        checkpoint = ours.S3Checkpoint(region=REGION)
        with checkpoint.writer(f"{store}/model.pt") as writer:
            torch.save(state, writer)
            assert not s3dlio.exists(f"{store}/model.pt")
        assert isinstance(writer, ours.S3Writer)
        for construct in (None, ours.S3ReaderConstructor.range_based()):
            checkpoint = ours.S3Checkpoint(region=REGION, reader_constructor=construct)
            with checkpoint.reader(f"{store}/model.pt") as reader:
                loaded = torch.load(reader)
            assert torch.equal(loaded["w"], state["w"])

    def test_a_failed_save_leaves_nothing(self, store):
        with pytest.raises(ZeroDivisionError):
            fail_in(ours.S3Checkpoint(region=REGION).writer(f"{store}/model.pt"))
        assert not s3dlio.exists(f"{store}/model.pt")

    @pytest.mark.parametrize(
        "strategy",
        [None, our_dcp.HexPrefixStrategy(epoch_num=1, prefix_count=3)],
        ids=["plain", "prefixes"],
    )
    def test_distributed_checkpoints(self, store, strategy):
        state = {"w": torch.arange(12.0).reshape(3, 4), "n": {"step": 3}}
        writer = our_dcp.S3StorageWriter(REGION, f"{store}/step-3", prefix_strategy=strategy, overwrite=True)
        dcp.save({"w": torch.zeros(12)}, storage_writer=writer, no_dist=True)
        with pytest.warns(UserWarning, match="overwriting"):
            dcp.save(state, storage_writer=writer, no_dist=True)
        below = "0000000000/epoch_1/" if strategy else ""
        assert s3dlio.list(f"{store}/step-3/", recursive=True) == [
            f"{store}/step-3/{name}" for name in (".metadata", f"{below}__0_0.distcp")
        ]
        loaded = {"w": torch.zeros(3, 4), "n": {"step": 0}}
        dcp.load(loaded, storage_reader=our_dcp.S3StorageReader(REGION, f"{store}/step-3"), no_dist=True)
        assert torch.equal(loaded["w"], state["w"])
        assert loaded["n"] == {"step": 3}
        assert not our_dcp.S3StorageWriter.validate_checkpoint_id("folder")

    def test_checkpoints_of_s3torchconnector_are_read_and_ours_by_it(self, bucket, s3, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
        config = real.S3ClientConfig(force_path_style=True)
        state = {"w": torch.arange(12.0), "n": 3}
        dcp.save(
            state,
            storage_writer=theirs.S3StorageWriter(
                REGION, f"{bucket}/theirs", config, theirs.BinaryPrefixStrategy(prefix_count=2)
            ),
            no_dist=True,
        )
        dcp.save(state, storage_writer=our_dcp.S3StorageWriter(REGION, f"{bucket}/ours"), no_dist=True)
        for reader in (
            our_dcp.S3StorageReader(REGION, f"{bucket}/theirs"),
            theirs.S3StorageReader(REGION, f"{bucket}/ours", config),
        ):
            loaded = {"w": torch.zeros(12), "n": 0}
            dcp.load(loaded, storage_reader=reader, no_dist=True)
            assert (loaded["w"].tolist(), loaded["n"]) == ([*range(12)], 3)


class TestDocuments:
    def test_the_readme(self, bucket):
        s3dlio.put_many([(f"{bucket}/train/{number}.bin", bytes([number])) for number in range(3)])
        names: dict[str, Any] = {"model": torch.nn.Linear(2, 2)}
        for example in re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), flags=re.DOTALL):
            exec(example.replace("s3://bucket", bucket), names)  # noqa: S102 - the text of this project
        assert names["sizes"] == [1, 1, 1]
        assert s3dlio.exists(f"{bucket}/step-100/.metadata")

    def test_the_example(self, bucket, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["train.py", f"{bucket}/run"])
        runpy.run_path(str(FOLDER / "examples" / "train.py"), run_name="__main__")
        assert capsys.readouterr().out == f"32 objects of 8 numbers; the model is at {bucket}/run/model.pt\n"
