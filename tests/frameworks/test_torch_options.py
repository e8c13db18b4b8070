"""What samples and batches are, by option."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import s3dlio
import torch
from s3dlio import ConfigError, CorruptDataError, LoaderOptions, TransformError, UnsupportedError
from s3dlio.torch import Loader, S3IterableDataset, S3MapDataset
from torch.utils.data import DataLoader

from tests.frameworks.programs.numbers import number, numbers, put_numbers, run_program, sequence

COUNT = 6
KINDS = [S3MapDataset, S3IterableDataset]


@pytest.fixture(scope="module")
def uri(s3) -> str:
    return put_numbers(f"{s3.bucket('torch-options')}/data/", COUNT)


def npy(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def put_all(prefix: str, make: Callable[[int], bytes], suffix: str) -> str:
    s3dlio.put_many([(f"{prefix}{i:03}{suffix}", make(i)) for i in range(COUNT)])
    return prefix


def first(data: Any) -> Any:
    return next(iter(data)) if isinstance(data, S3IterableDataset) else data[0]


@pytest.mark.parametrize("kind", KINDS)
def test_return_types(uri: str, kind: Any) -> None:
    assert torch.equal(first(kind(uri)), torch.zeros(4, dtype=torch.uint8))
    content = first(kind(uri, return_type="bytes"))
    assert type(content) is bytes
    assert content == bytes(4)
    with first(kind(uri, return_type="reader")) as reader:
        assert (len(reader), reader.read(1), reader.read_all()) == (4, bytes(1), bytes(3))
    with pytest.raises(ConfigError, match="return_type"):
        kind(uri, return_type="ndarray")


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_feeds_torch_load(bucket: str, kind: Any) -> None:
    content = io.BytesIO()
    torch.save({"weight": torch.arange(5)}, content)
    s3dlio.put(f"{bucket}/model.pt", content.getvalue())
    reader = first(kind(f"{bucket}/model.pt", return_type="reader"))
    assert torch.equal(torch.load(reader)["weight"], torch.arange(5))


@pytest.mark.parametrize("kind", KINDS)
def test_writable_tensors_are_copies(uri: str, kind: Any) -> None:
    data = kind(uri, writable=True)
    first(data).fill_(7)
    assert number(first(kind(uri))) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_object_is_an_empty_tensor(bucket: str, kind: Any) -> None:
    s3dlio.put(f"{bucket}/empty", b"")
    for writable in (False, True):
        sample = first(kind(f"{bucket}/empty", writable=writable))
        assert (sample.shape, sample.dtype) == (torch.Size([0]), torch.uint8)


def test_the_warning_about_read_only_memory_is_quiet_unless_asked_for(uri: str, s3) -> None:
    program = (
        "import sys, warnings; warnings.simplefilter('always')\n"
        "from s3dlio.torch import S3MapDataset\n"
        f"S3MapDataset({uri!r}, suppress_nonwritable_warning=sys.argv[1] == 'quiet')[0]"
    )
    assert "not writable" not in run_program("-c", program, "quiet", env=s3.env).stderr
    assert "not writable" in run_program("-c", program, "loud", env=s3.env).stderr


def test_npz_samples_are_dicts_of_tensors_that_stack(bucket: str) -> None:
    def make(i: int) -> bytes:
        return npz(x=np.full((2, 3), i, np.float32), y=np.int64(i), big=np.array([i], ">i4"))

    uri = put_all(f"{bucket}/npz/", make, ".npz")
    for kind in KINDS:
        sample = first(kind(uri, decoder="npz"))
        assert torch.equal(sample["x"], torch.zeros(2, 3))
        assert sample["y"].shape == ()
        assert sample["big"].dtype == torch.int32
        sample["x"].fill_(1)
    batch = next(iter(Loader(uri, batch_size=4, decoder="npz")))
    collated = next(iter(DataLoader(S3MapDataset(uri, decoder="npz"), batch_size=4)))
    for found in (batch, collated):
        assert {name: tuple(array.shape) for name, array in found.items()} == {
            "x": (4, 2, 3),
            "y": (4,),
            "big": (4, 1),
        }
        assert found["y"].tolist() == found["big"].flatten().tolist() == [0, 1, 2, 3]
        assert found["x"].dtype == torch.float32
        found["x"].fill_(1)


def test_npy_samples_are_tensors_that_stack(bucket: str) -> None:
    uri = put_all(f"{bucket}/npy/", lambda i: npy(np.full(3, i, np.int16)), ".npy")
    for kind in KINDS:
        assert torch.equal(first(kind(uri, decoder="npy")), torch.zeros(3, dtype=torch.int16))
    batches = list(Loader(uri, batch_size=4, decoder="npy"))
    assert [tuple(batch.shape) for batch in batches] == [(4, 3), (2, 3)]
    assert [row[0] for batch in batches for row in batch.tolist()] == list(range(COUNT))


def test_unequal_samples_come_as_lists_or_name_the_first_that_does_not_fit(bucket: str) -> None:
    uri = put_all(f"{bucket}/npy/", lambda i: npy(np.arange(i)), ".npy")
    (batch,) = Loader(uri, batch_size=COUNT, decoder="npy", collate="list")
    assert [sample.tolist() for sample in batch] == [list(range(i)) for i in range(COUNT)]
    with pytest.raises(CorruptDataError, match=r"001\.npy.*collate"):
        next(iter(Loader(uri, batch_size=COUNT, decoder="npy")))
    with pytest.raises(ConfigError, match="collate"):
        Loader(uri, collate="sum")


def test_what_torch_has_no_type_for_stays_numpy_and_pickled_objects_are_refused(bucket: str) -> None:
    s3dlio.put(f"{bucket}/text.npy", npy(np.array(["a", "bc"])))
    assert S3MapDataset(f"{bucket}/text.npy", decoder="npy")[0].tolist() == ["a", "bc"]
    s3dlio.put(f"{bucket}/object.npy", npy(np.array([{}], dtype=object)))
    with pytest.raises(UnsupportedError, match=r"object\.npy"):
        S3MapDataset(f"{bucket}/object.npy", decoder="npy")[0]


def test_a_transform_sees_each_sample_before_collation(uri: str, bucket: str) -> None:
    doubled = [2 * i for i in range(COUNT)]

    def transform(sample: torch.Tensor) -> int:
        return 2 * number(sample)

    data = S3MapDataset(uri, transform=transform)
    assert data[range(COUNT)[-1]] == doubled[-1]
    assert data.__getitems__([3, 0, 3]) == [6, 0, 6]
    batches = list(Loader(uri, batch_size=4, transform=transform))
    assert [n for batch in batches for n in batch.tolist()] == doubled
    assert list(S3IterableDataset(uri, transform=transform)) == doubled
    put_all(f"{bucket}/npz/", lambda i: npz(x=np.full(2, i)), ".npz")
    (batch,) = Loader(f"{bucket}/npz/", batch_size=COUNT, decoder="npz", transform=lambda sample: sample["x"] + 1)
    assert batch.tolist() == [[i + 1, i + 1] for i in range(COUNT)]


def test_samples_that_a_transform_refuses_are_bounded(uri: str) -> None:
    def refuse(sample: torch.Tensor) -> int:
        if number(sample) % 3 == 1:
            raise ValueError(sample)
        return number(sample)

    good = [i for i in range(COUNT) if i % 3 != 1]
    for kind, options in ((S3IterableDataset, {}), (Loader, {"batch_size": 5})):
        skipping = kind(uri, transform=refuse, on_error="skip", max_errors=COUNT - len(good), **options)
        found = [torch.as_tensor(batch).reshape(-1).tolist() for batch in skipping]
        assert [i for batch in found for i in batch] == good
        for on_error in ("skip", "replace"):
            strict = kind(uri, transform=refuse, on_error=on_error, max_errors=1, **options)
            with pytest.raises(TransformError, match="more than 1 bad records"):
                list(strict)


def test_pinned_memory_needs_cuda(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="pin_memory"):
        Loader(uri, batch_size=2, pin_memory=True)


def test_batches_are_moved_to_a_device(uri: str, bucket: str) -> None:
    for device in ("cpu", torch.device("cpu"), "meta"):
        batch = next(iter(Loader(uri, batch_size=2, device=device)))
        assert [sample.device.type for sample in batch] == [torch.device(device).type] * 2
    put_all(f"{bucket}/npz/", lambda i: npz(x=np.float32(i), name=np.array("n")), ".npz")
    batch = next(iter(Loader(f"{bucket}/npz/", batch_size=2, decoder="npz", device="meta")))
    assert batch["x"].device.type == "meta"
    assert batch["name"].tolist() == ["n", "n"]


def test_a_progress_bar_counts_batches(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    loader = Loader(uri, batch_size=2, progress=True)
    assert len(list(loader)) == 3
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "MB/s" in shown


def test_torch_is_imported_only_by_those_who_use_it() -> None:
    program = (
        "import sys, s3dlio\n"
        "assert 'torch' not in sys.modules\n"
        "from s3dlio import S3IterableDataset, S3MapDataset\n"
        "import s3dlio.torch\n"
        "assert S3MapDataset is s3dlio.torch.S3MapDataset\n"
        "assert S3IterableDataset is s3dlio.torch.S3IterableDataset\n"
        "try: s3dlio.S3NoSuchDataset\n"
        "except AttributeError: pass\n"
        "else: raise SystemExit(1)\n"
    )
    run_program("-c", program)


def test_options_come_as_keywords_or_together(uri: str) -> None:
    expected = [tuple(sequence(COUNT, 7, 0)[i : i + 4]) for i in (0, 4)]
    for loader_opts in (
        {"batch_size": 4, "shuffle": True, "seed": 7},
        LoaderOptions(batch_size=4, shuffle="global", seed=7),
        LoaderOptions().with_batch_size(4).shuffle(True, 7),
    ):
        for options in ({}, {"auto_tune": True}, {"num_workers": 3, "prefetch": 1}):
            data = S3IterableDataset(uri, loader_opts=loader_opts, **options)
            assert [numbers(batch) for batch in data] == expected
    ranged = {"reader_mode": "range", "part_size": 1 << 16, "max_inflight_parts": 2}
    assert [number(sample) for sample in S3IterableDataset(uri, **ranged)] == list(range(COUNT))
    assert number(S3MapDataset(uri, **ranged)[5]) == 5
    with pytest.raises(ConfigError, match="did you mean `batch_size`"):
        S3IterableDataset(uri, loader_opts={"batchsize": 4})
    with pytest.raises(ConfigError, match="batch_size"):
        S3IterableDataset(uri, batch_size=0)
    with pytest.raises(ConfigError, match="sample_block"):
        S3IterableDataset(uri, sample_block=0)
    with pytest.raises(ConfigError, match="last"):
        S3IterableDataset(uri, drop_last=True, last="pad")


def test_ready_batches_or_samples(uri: str) -> None:
    assert [numbers(b) for b in S3IterableDataset(uri, batch_size=4)] == [(0, 1, 2, 3), (4, 5)]
    assert [len(b) for b in S3IterableDataset(uri, batch_size=4, drop_last=True)] == [4]
    assert [len(b) for b in S3IterableDataset(uri, batched=True)] == [1] * COUNT
    assert len(S3IterableDataset(uri)) == COUNT
    assert len(S3IterableDataset(uri, batch_size=4)) == 2
    with pytest.raises(ConfigError, match="batched"):
        S3IterableDataset(uri, batch_size=4, batched=False)


def test_without_sharding_every_worker_gives_everything(uri: str) -> None:
    data = S3IterableDataset(uri, batch_size=COUNT, enable_sharding=False)
    loader = DataLoader(data, batch_size=None, num_workers=2)
    assert [numbers(batch) for batch in loader] == [tuple(range(COUNT))] * 2


def test_map_data_sets_are_sequences(uri: str) -> None:
    data = S3MapDataset(uri)
    assert len(data) == COUNT
    assert [number(data[i]) for i in (0, -1, -COUNT)] == [0, 5, 0]
    assert [number(sample) for sample in data.__getitems__([4, 1, 4])] == [4, 1, 4]
    for index in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=f"{COUNT} records"):
            data[index]
    again = pickle.loads(pickle.dumps(data))
    assert again.uris() == data.uris() == [f"{uri}{i:04}.bin" for i in range(COUNT)]
    assert number(again[np.int64(3)]) == 3
    assert data.uri(-1) == f"{uri}0005.bin"
    assert [number(sample) for sample in data] == list(range(COUNT))
    assert uri in repr(data)


@pytest.mark.parametrize("kind", KINDS)
def test_objects_are_chosen_by_pattern_or_listed(uri: str, kind: Any) -> None:
    assert len(kind(uri, pattern="*[02].bin")) == 2
    assert len(kind.from_prefix(f"{uri}0001.bin")) == 1
    assert len(kind(f"{uri}*3.bin")) == 1
    backwards = [f"{uri}{i:04}.bin" for i in (4, 0)]
    data = kind.from_uris(iter(backwards))
    assert [number(sample) for sample in data] == [4, 0]
    assert [data.objects.uri(i) for i in range(2)] == backwards
    with pytest.raises(TypeError, match="pattern"):
        kind(backwards, pattern="*")


def test_a_loader_takes_every_data_set_of_this_package(uri: str) -> None:
    for data in (s3dlio.create_dataset(uri), S3MapDataset(uri), S3IterableDataset(uri)):
        assert [numbers(batch) for batch in Loader(data, batch_size=4)] == [(0, 1, 2, 3), (4, 5)]
    for kind in KINDS:
        assert [number(sample) for sample in kind(s3dlio.create_dataset(uri))] == list(range(COUNT))


def test_figures_of_a_running_iteration(uri: str) -> None:
    loader = Loader(uri, batch_size=4)
    assert loader.stats() == {}
    assert len(list(loader)) == 2
    stats = loader.stats()
    assert (stats["batches"], stats["samples"], stats["reads"]) == (2, COUNT, COUNT)
    assert (stats["bytes"], stats["skipped"]) == (4 * COUNT, 0)


def test_images_lie_in_memory_as_asked(bucket: str) -> None:
    images = put_all(f"{bucket}/images/", lambda i: npy(np.full((3, 4, 5), i, np.float32)), ".npy")
    expected = torch.stack([torch.full((3, 4, 5), float(i)) for i in range(COUNT)])
    for memory_format, last in (("auto", False), ("channels_first", False), ("channels_last", True)):
        opts = LoaderOptions(memory_format=memory_format)
        (batch,) = Loader(images, batch_size=COUNT, decoder="npy", loader_opts=opts)
        assert torch.equal(batch, expected)
        assert batch.is_contiguous(memory_format=torch.channels_last) == last


def test_a_transform_can_be_switched_off(uri: str) -> None:
    def refuse(_: Any) -> None:
        raise AssertionError

    opts = LoaderOptions(enable_transforms=False)
    assert len(list(S3IterableDataset(uri, transform=refuse, loader_opts=opts))) == COUNT


def test_worker_options_make_a_dataloader(uri: str) -> None:
    opts = LoaderOptions().with_generator_seed(3).use_fork()
    data = S3MapDataset(uri)
    orders = [
        [number(x) for x in DataLoader(data, None, shuffle=True, num_workers=1, **opts.dataloader_kwargs())]
        for _ in range(2)
    ]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list(range(COUNT))
    with pytest.warns(RuntimeWarning, match="multiprocessing_context, generator_seed"):
        S3IterableDataset(uri, loader_opts=opts)


class Pair(NamedTuple):
    image: Any
    label: Any


def test_named_tuples_are_moved_to_a_device(tmp_path: Path) -> None:
    for label in range(4):
        np.savez(tmp_path / f"{label}.npz", image=np.zeros(3, np.float32), label=label)
    loader = Loader(
        f"file://{tmp_path}/",
        decoder="npz",
        batch_size=2,
        device="cpu",
        transform=lambda sample: Pair(sample["image"], sample["label"]),
    )
    (first, second) = loader
    assert isinstance(first, Pair)
    assert [*first.label.tolist(), *second.label.tolist()] == [0, 1, 2, 3]


def test_a_list_stays_one_with_a_transform(tmp_path: Path) -> None:
    for label in range(4):
        np.save(tmp_path / f"{label}.npy", np.arange(label + 1))
    options: dict[str, Any] = {"decoder": "npy", "batch_size": 4, "collate": "list", "transform": lambda sample: sample}
    (batch,) = Loader(f"file://{tmp_path}/", **options)
    assert [tuple(sample.shape) for sample in batch] == [(1,), (2,), (3,), (4,)]


@pytest.mark.parametrize("kind", [S3IterableDataset, Loader])
def test_every_option_may_be_a_keyword(kind: Any, tmp_path: Path) -> None:
    for label in range(4):
        np.save(tmp_path / f"{label}.npy", np.full(2, label))
    data = kind(f"file://{tmp_path}/", decoder="npy", batch_size=2, collate_buffer_size=64, skip_head=False)
    assert len(list(data)) == 2
    with pytest.raises(ConfigError, match="batch_size"):
        kind(f"file://{tmp_path}/", btch_size=2)
