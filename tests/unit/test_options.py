"""Options: three ways to give them, one meaning, the ranges of the Rust core."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import s3dlio
from s3dlio import LoaderOptions, _s3dlio

SHARES = {"shard_rank": "shard_world_size", "worker_id": "num_workers_pytorch"}


def test_the_documented_name_is_the_class():
    assert s3dlio.PyLoaderOptions is LoaderOptions
    assert s3dlio.options.LoaderOptions is LoaderOptions


def test_keywords_dict_and_builder_mean_the_same():
    by_keyword = LoaderOptions(batch_size=64, shuffle=True, seed=7, drop_last=True)
    by_dict = LoaderOptions({"batch_size": 64, "shuffle": True, "seed": 7, "drop_last": True})
    by_builder = s3dlio.PyLoaderOptions().with_batch_size(64).shuffle(True, 7).drop_last(True)
    assert by_keyword == by_dict == by_builder == dict(by_dict)
    assert LoaderOptions(by_dict, batch_size=5).batch_size == 5


def test_builder_methods_return_new_objects():
    plain = LoaderOptions()
    for changed, name, value in (
        (plain.with_batch_size(8), "batch_size", 8),
        (plain.drop_last(True), "drop_last", True),
        (plain.shuffle(True), "shuffle", True),
        (plain.shuffle("global"), "shuffle", "global"),
        (plain.num_workers(3), "num_workers", 3),
        (plain.prefetch(9), "prefetch", 9),
        (plain.pin_memory(True), "pin_memory", True),
        (plain.persistent_workers(True), "persistent_workers", True),
        (plain.with_timeout(2.5), "timeout_seconds", 2.5),
        (plain.use_spawn(), "multiprocessing_context", "spawn"),
        (plain.use_fork(), "multiprocessing_context", "fork"),
        (plain.use_forkserver(), "multiprocessing_context", "forkserver"),
        (plain.random_sampling(), "shuffle", True),
    ):
        assert changed is not plain
        assert changed == {name: value}
        assert getattr(changed, name) == value
    assert plain.shuffle(True, 5) == {"shuffle": True, "seed": 5}
    assert plain.distributed_sampling(1, 4) == {"shard_rank": 1, "shard_world_size": 4}
    assert plain == {}


def test_attributes_read_values_and_defaults():
    options = LoaderOptions()
    assert (options.batch_size, options.seed, options.decoder) == (32, 0, "bytes")
    assert options.pin_memory == False  # noqa: E712 - the value, not the identity, is documented
    assert not options.drop_last
    assert repr(options.num_workers) == "0"
    options.batch_size = 5
    assert options.batch_size == 5
    with pytest.raises(AttributeError, match="no_such"):
        _ = options.no_such


def test_an_attribute_is_a_plain_number_to_everybody_else():
    options = LoaderOptions(drop_last=True, prefetch=2, shuffle=True)
    assert json.dumps({"prefetch": options.prefetch}) == '{"prefetch": 2}'
    for again in (pickle.loads(pickle.dumps(options.prefetch)), copy.deepcopy(options.prefetch)):
        assert again == 2
    taken = LoaderOptions(drop_last=options.drop_last, prefetch=options.prefetch, shuffle=options.shuffle)
    assert taken == options
    assert pickle.loads(pickle.dumps(taken)) == options
    assert json.dumps(taken.to_dict())


def test_is_a_mapping_of_what_was_set():
    options = LoaderOptions(seed=0, prefetch=2)
    assert dict(options) == {"seed": 0, "prefetch": 2}
    assert "batch_size" not in options
    assert len(options) == 2
    assert repr(options) == "LoaderOptions(seed=0, prefetch=2)"
    assert options.to_dict()["batch_size"] == 32
    sampler = ["sampler_type", "sampler_replacement", "sampler_rank", "sampler_world_size"]
    assert list(options.to_dict()) == [*s3dlio.options._FIELDS, *sampler]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol):
    options = LoaderOptions(batch_size=3, shuffle="global", timeout_seconds=1.5)
    again = pickle.loads(pickle.dumps(options, protocol))
    assert type(again) is LoaderOptions
    assert again == options == copy.deepcopy(options)


@pytest.mark.parametrize(
    ("name", "near"), [("batchsize", "batch_size"), ("prefetchh", "prefetch"), ("drop", "drop_last")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name, near):
    for make in (
        lambda: LoaderOptions({name: 1}),
        lambda: LoaderOptions(**{name: 1}),
        lambda: s3dlio.create_dataset("memory://none/", {name: 1}),
        lambda: s3dlio.create_async_loader("memory://none/", opts={name: 1}),
    ):
        with pytest.raises(s3dlio.ConfigError, match=f"`{name}`.*`{near}`"):
            make()


@pytest.mark.parametrize("options", [[1], [("batch_size", 3)], "batch_size", 5])
def test_options_are_a_mapping(options):
    for make in (LoaderOptions, lambda given: s3dlio.create_dataset("memory://none/", given)):
        with pytest.raises(TypeError, match="expected LoaderOptions or a dict"):
            make(options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", -1),
        ("batch_size", True),
        ("batch_size", 1.5),
        ("batch_size", "8"),
        ("batch_size", None),
        ("last", "some"),
        ("shuffle", "yes"),
        ("shuffle", 2),
        ("drop_last", "yes"),
        ("decoder", "pickle"),
        ("collate", None),
        ("on_error", "ignore"),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", float("inf")),
        ("timeout_seconds", True),
        ("multiprocessing_context", "thread"),
        ("reader_mode", "random"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_found(name, value):
    with pytest.raises(ValueError, match=f"`{name}`: found") as caught:
        LoaderOptions({name: value})
    assert isinstance(caught.value, s3dlio.ConfigError)
    assert repr(value) in str(caught.value)


def test_drawing_with_replacement_is_refused():
    with pytest.raises(s3dlio.ConfigError, match="replacement"):
        LoaderOptions().random_sampling(True)


def test_numpy_integers_are_integers():
    options = LoaderOptions(batch_size=np.int64(8), seed=np.uint64(2**63), drop_last=np.bool_(True))
    assert options == {"batch_size": 8, "seed": 2**63, "drop_last": True}
    assert [type(value) for value in options.values()] == [int, int, bool]
    with pytest.raises(s3dlio.ConfigError, match="batch_size"):
        LoaderOptions(batch_size=np.int64(0))


@pytest.fixture(scope="module")
def objects():
    s3dlio.put("memory://options/key", b"x")
    return s3dlio.create_dataset("memory://options/").objects


def core_takes(objects, name: str, value: object) -> bool:
    """Whether the Rust core takes a value, asked past Python's own check."""
    options = LoaderOptions().core_kwargs() | {name: value}
    if name in SHARES:
        options[SHARES[name]] = 1 << 33
    try:
        _s3dlio.Loader(objects, **options)
    except OverflowError:
        return False
    except s3dlio.ConfigError as error:
        return f"`{name}`" not in str(error)
    return True


def python_takes(name: str, value: object) -> bool:
    try:
        LoaderOptions({name: value})
    except s3dlio.ConfigError:
        return False
    return True


LIMITS = {
    "batch_size": (1, 1 << 24),
    "memory_budget": (1 << 20, 1 << 46),
    "num_workers": (0, 512),
    "prefetch": (0, 1024),
    "seed": (0, 2**64 - 1),
    "shuffle_window": (0, 1 << 16),
    "max_errors": (0, 2**64 - 1),
}


@pytest.mark.parametrize("name", LIMITS)
def test_python_and_rust_agree_on_ranges(objects, name):
    least, most = LIMITS[name]
    for value, good in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
        assert python_takes(name, value) is good
        assert core_takes(objects, name, value) is good


@pytest.mark.parametrize("name", ["shard_world_size", "num_workers_pytorch", *SHARES])
def test_python_and_rust_agree_on_shares(objects, name):
    least = 0 if name in SHARES else 1
    for value, good in ((-1, False), (0, least == 0), (1, True), (2**32 - 1, True)):
        assert python_takes(name, value) is good
        assert core_takes(objects, name, value) is good
    # Python's limit keeps every product inside the core's 64 bits.
    assert not python_takes(name, 2**32)


@pytest.mark.parametrize(
    ("value", "good"), [(-1.0, False), (0.0, False), (1e-3, True), (86_400.0, True), (86_400.1, False), (1e300, False)]
)
def test_python_and_rust_agree_on_seconds(objects, value, good):
    assert python_takes("timeout_seconds", value) is good
    assert core_takes(objects, "timeout_seconds", value) is good


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_core_refuses_seconds_that_are_no_number(objects, value):
    assert not core_takes(objects, "timeout_seconds", value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("last", ("drop", "pad", "wrap", "uneven")),
        ("decoder", ("bytes", "npz", "npy")),
        ("collate", ("stack", "list")),
        ("on_error", ("raise", "skip", "replace")),
        ("shuffle", ("none", "global", "block")),
    ],
)
def test_python_and_rust_agree_on_words(objects, name, words):
    for word in words:
        assert python_takes(name, word)
        assert core_takes(objects, name, word)
    for word in ("", "other", words[0].upper()):
        assert not python_takes(name, word)
        assert not core_takes(objects, name, word)


def test_every_option_of_the_core_is_probed_here():
    probed = {*LIMITS, *SHARES, *SHARES.values(), "timeout_seconds", "drop_last"}
    probed |= {"last", "decoder", "collate", "on_error"}
    assert probed == set(s3dlio.options.CORE)


def test_worker_options_go_to_the_dataloader():
    options = LoaderOptions(pin_memory=True, batch_size=3).use_spawn()
    assert options.dataloader_kwargs() == {"pin_memory": True, "multiprocessing_context": "spawn"}
    s3dlio.put("memory://options/key", b"x")
    with pytest.warns(RuntimeWarning, match="pin_memory, multiprocessing_context"):
        s3dlio.create_dataset("memory://options/", options)
    with pytest.warns(RuntimeWarning, match="dataloader_kwargs"):
        s3dlio.PyBytesAsyncDataLoader(s3dlio.create_dataset("memory://options/"), {"pin_memory": True})


def test_presets_say_what_they_set():
    tuned = {
        "pin_memory": True,
        "persistent_workers": True,
        "non_blocking": True,
        "memory_format": "channels_first",
        "multiprocessing_context": "spawn",
    }
    assert dict(LoaderOptions(seed=1).gpu_optimized()) == {"seed": 1, **tuned}
    ranked = LoaderOptions().distributed_optimized(2, 4)
    assert dict(ranked) == {**tuned, "shard_rank": 2, "shard_world_size": 4}
    found = ranked.to_dict()
    assert (found["sampler_type"], found["sampler_rank"], found["sampler_world_size"]) == ("distributed", 2, 4)
    assert LoaderOptions(shuffle=True).to_dict()["sampler_type"] == "random"
    debug = LoaderOptions(num_workers=8, persistent_workers=True).debug_mode()
    assert dict(debug) == {"num_workers": 0, "persistent_workers": False, "timeout_seconds": 10.0, "auto_tune": False}
    chained = LoaderOptions().channels_last().non_blocking(True).auto_tune(True).enable_transforms(False)
    assert (chained.memory_format, chained.auto_tune, chained.enable_transforms) == ("channels_last", True, False)
    assert LoaderOptions().collate_buffer_size(64).collate_buffer_size == 64
    with pytest.raises(s3dlio.ConfigError, match="collate_buffer_size"):
        LoaderOptions(collate_buffer_size=63)


def test_auto_tune_overrides_what_was_tuned_by_hand():
    options = LoaderOptions(num_workers=7, prefetch=9)
    assert (options.core_kwargs()["num_workers"], options.core_kwargs()["prefetch"]) == (7, 9)
    tuned = options.auto_tune(True).core_kwargs()
    assert (tuned["num_workers"], tuned["prefetch"]) == (0, 0)


@pytest.mark.parametrize("name", ["RT_THREADS", "IO_THREADS", "DECODE_THREADS", "MEMORY_BUDGET"])
@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_a_bad_resource_variable_is_named(objects, monkeypatch, name, value):
    monkeypatch.setenv(f"S3DLIO_{name}", value)
    if not value:
        assert core_takes(objects, "batch_size", 1)
        return
    with pytest.raises(s3dlio.ConfigError, match=f"S3DLIO_{name}.*{value}"):
        s3dlio._s3dlio.Loader(objects, **LoaderOptions().core_kwargs())
