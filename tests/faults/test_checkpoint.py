"""Crashes, damage and lost answers: a checkpoint is whole or absent, and its bytes are right or an error."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import s3dlio
from s3dlio.checkpoint import CheckpointManager, Shard
from s3dlio.errors import (
    CheckpointError,
    CheckpointExistsError,
    CorruptDataError,
    ForkedProcessError,
    IncompleteCheckpointError,
    NotFoundError,
    S3dlioError,
)

from tests.fixtures.testkit import fault

if TYPE_CHECKING:
    from tests.fixtures.testkit import Testkit

pytestmark = pytest.mark.timeout(110)

WEIGHTS = np.arange(2_000, dtype=np.float32)
TREE = {"step": 1, "weights": WEIGHTS, "names": ["a", b"b"]}


def equal(loaded: Any, weights: np.ndarray = WEIGHTS) -> bool:
    return loaded["step"] == 1 and loaded["names"] == ["a", b"b"] and np.array_equal(loaded["weights"], weights)


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_case_1_of_two_that_commit_a_step_one_wins(testkit: Testkit) -> None:
    base = testkit.bucket() + "/m"
    outcomes: list[Any] = []

    def save(number: int) -> None:
        try:
            CheckpointManager(base).save(1, {"who": number})
            outcomes.append(number)
        except CheckpointExistsError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(outcomes) == 6
    assert len(winners) == 1
    assert CheckpointManager(base).load(1) == {"who": winners[0]}


def test_case_2_a_rank_that_saves_twice_is_refused(tmp_path) -> None:
    base, attempt = f"file://{tmp_path}", "a" * 32
    second = CheckpointManager(base, rank=1, world_size=2)
    second.save(1, {"b": 1}, attempt=attempt)
    with pytest.raises(CheckpointExistsError, match="rank 1"):
        second.save(1, {"b": 2}, attempt=attempt)
    CheckpointManager(base, rank=0, world_size=2).save(1, {"a": 1}, attempt=attempt)
    assert CheckpointManager(base).load() == {"a": 1, "b": 1}


def test_case_3_ranks_that_do_not_fit_are_refused(tmp_path) -> None:
    base, attempt = f"file://{tmp_path}", "a" * 32
    for rank in (1, 2):
        CheckpointManager(base, rank=rank, world_size=3).save(1, {}, attempt=attempt)
    with pytest.raises(IncompleteCheckpointError, match="expected rank 1 of 2"):
        CheckpointManager(base, rank=0, world_size=2).save(1, {}, attempt=attempt)
    attempt = "b" * 32
    CheckpointManager(base, rank=3, world_size=4).save(1, {}, attempt=attempt)
    with pytest.raises(IncompleteCheckpointError, match="r00003"):
        CheckpointManager(base, rank=0, world_size=1).save(1, {}, attempt=attempt)
    half = Shard(np.zeros((2, 2)), (4, 2), (0, 0))
    for number, place in enumerate([(0, 0), (1, 0)]):
        attempt = f"{number + 1:032x}"
        other = Shard(np.zeros((2, 2)), (4, 2), place)
        CheckpointManager(base, rank=1, world_size=2).save(2, {"w": other}, attempt=attempt)
        with pytest.raises(IncompleteCheckpointError, match=r"tensor 'w'|tensor \"w\"|same part"):
            CheckpointManager(base, rank=0, world_size=2).save(2, {"w": half}, attempt=attempt)
    base = f"file://{tmp_path}/beside/"
    s3dlio.save_distributed_shard(f"{base}0.bin", {}, 0, 2, save_id="x")
    s3dlio.save_distributed_shard(f"{base}1.bin", {}, 1, 2, save_id="y")
    with pytest.raises(IncompleteCheckpointError, match="another save"):
        s3dlio.finalize_distributed_checkpoint(base, 2)


@pytest.mark.parametrize("kind", ["reset", "close"])
def test_case_4_a_commit_whose_answer_is_lost_has_happened(testkit: Testkit, kind: str) -> None:
    base = testkit.bucket() + "/m"
    where = {"operation": "PutObject", "key": "(steps/|MANIFEST|meta$)", "every": 2}
    testkit.faults(fault(kind, where=where, stage="reply"))
    assert CheckpointManager(base).save(1, TREE)
    testkit.reset()
    assert equal(CheckpointManager(base).load())


def test_case_5_a_conflict_and_then_a_refusal(testkit: Testkit) -> None:
    base = testkit.bucket() + "/m"
    CheckpointManager(base).save(1, TREE)
    where = {"operation": "PutObject", "key": "steps/", "times": 1}
    testkit.faults(fault("status", where=where, status=409, code="ConditionalRequestConflict"))
    with pytest.raises(CheckpointExistsError):
        CheckpointManager(base).save(1, {"other": 1})
    testkit.faults(fault("status", where=where, status=409, code="ConditionalRequestConflict"))
    CheckpointManager(base).save(2, TREE)
    testkit.reset()
    assert equal(CheckpointManager(base).load(1))
    assert equal(CheckpointManager(base).load(2))


@pytest.mark.parametrize(
    "rule",
    [
        fault("status", where={"operation": "UploadPart", "times": 2}, status=503, code="SlowDown"),
        fault("reset", where={"operation": "UploadPart", "times": 1}, stage="upload", after=100_000),
        fault("status", where={"operation": "CompleteMultipartUpload", "times": 1}, status=200, code="InternalError"),
        fault("close", where={"operation": "GetObject", "times": 1}, stage="body", after=100_000),
    ],
)
def test_case_6_transfers_that_fail_are_repeated(testkit: Testkit, rule: dict[str, Any]) -> None:
    uri = testkit.bucket() + "/c.bin"
    value = {"w": np.arange(9_000_000, dtype=np.float64)}
    testkit.faults(rule)
    s3dlio.save_checkpoint(uri, value)
    assert np.array_equal(s3dlio.load_checkpoint(uri)["w"], value["w"])


def test_case_6_a_part_that_is_dropped_is_noticed(testkit: Testkit) -> None:
    uri = testkit.bucket() + "/c.bin"
    testkit.faults(fault("drop_part", part=2))
    with pytest.raises(S3dlioError):
        s3dlio.save_checkpoint(uri, {"w": np.arange(9_000_000, dtype=np.float64)})


@pytest.mark.parametrize("compress", [False, True])
def test_case_7_every_flipped_byte_of_an_object_is_noticed(tmp_path, compress: bool) -> None:
    path = tmp_path / "c"
    uri = f"file://{path}"
    s3dlio.save_checkpoint(uri, {"w": np.arange(60, dtype=np.float32), "t": ("x", 2.5), "b": b"y"}, compress=compress)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        with pytest.raises(CorruptDataError):
            s3dlio.load_checkpoint(uri)


def test_case_7_every_flipped_byte_of_a_step_is_noticed(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}")
    manager.save(1, {"w": np.arange(9, dtype=np.int16), "n": None})
    for path in files(tmp_path):
        if path.suffix == ".meta" or path.name == "LATEST":
            continue
        whole = path.read_bytes()
        for at in range(len(whole)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
            with pytest.raises((CorruptDataError, IncompleteCheckpointError)):
                manager.load(1)
        path.write_bytes(whole)
    assert manager.load(1)["n"] is None


@pytest.mark.parametrize("compress", [False, True])
def test_case_8_every_truncation_is_noticed(tmp_path, compress: bool) -> None:
    path = tmp_path / "c"
    s3dlio.save_checkpoint(f"file://{path}", {"w": np.arange(60, dtype=np.float32)}, compress=compress)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptDataError):
            s3dlio.load_checkpoint(f"file://{path}")


def test_case_8_shards_that_are_exchanged_are_noticed(tmp_path) -> None:
    manager = CheckpointManager(f"file://{tmp_path}")
    manager.save(1, TREE)
    manager.save(2, {**TREE, "weights": WEIGHTS + 1})
    first, second = sorted(tmp_path.rglob("*.safetensors"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(CorruptDataError, match="not the one that was committed"):
        manager.load(1)
    second.unlink()
    with pytest.raises(IncompleteCheckpointError, match="missing"):
        manager.load(2)


def test_case_8_an_object_replaced_between_two_reads_is_no_mixture(testkit: Testkit) -> None:
    uri = testkit.bucket() + "/c.bin"
    old, new = np.zeros(6_000_000), np.ones(6_000_000)
    s3dlio.save_checkpoint(uri, {"w": old})
    testkit.faults(fault("stall", where={"operation": "GetObject", "skip": 2, "times": 1}, stage="request", seconds=1))
    results: list[Any] = []

    def load() -> None:
        try:
            results.append(s3dlio.load_checkpoint(uri)["w"])
        except S3dlioError as error:
            results.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(0.3)
    s3dlio.save_checkpoint(uri, {"w": new})
    thread.join()
    assert isinstance(results[0], S3dlioError) or len(np.unique(results[0])) == 1


@pytest.mark.parametrize("hint", [None, b"", b"999\n", b"1\n", b"junk", b"-3", b"\xff"])
def test_case_9_the_hint_may_say_anything(tmp_path, hint: bytes | None) -> None:
    manager = CheckpointManager(f"file://{tmp_path}")
    manager.save(1, {"s": 1})
    manager.save(2, {"s": 2})
    (tmp_path / "LATEST").unlink()
    if hint is not None:
        (tmp_path / "LATEST").write_bytes(hint)
    assert manager.latest() == 2
    assert manager.load() == {"s": 2}


def test_case_10_a_directory_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(S3dlioError):
        CheckpointManager(f"file://{tmp_path}/file/m").save(1, TREE)


def test_case_10_a_full_disk_leaves_the_earlier_step() -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.fail("/dev/shm is no file system of its own")
    program = """
        import resource, signal, sys
        import numpy as np, s3dlio
        from s3dlio.checkpoint import CheckpointManager
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        manager = CheckpointManager(sys.argv[1])
        manager.save(1, {"w": np.arange(10)})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            manager.save(2, {"w": np.zeros(1_000_000)})
        except s3dlio.StoreError as error:
            print(type(error).__name__)
        print(manager.steps(), manager.load()["w"].sum())
    """
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), f"file://{folder}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.stdout.split("\n")[:2] == ["StoreError", "[1] 45"], run.stderr
        assert len(files(Path(folder))) == len([path for path in files(Path(folder)) if ".tmp" not in path.name])


@pytest.mark.parametrize("size", [1, 511, 4095, 4097, 5_000_001])
def test_case_11_direct_files_end_anywhere(tmp_path, size: int) -> None:
    value = {"w": np.resize(np.arange(251, dtype=np.uint8), size)}
    for compress in (False, True):
        s3dlio.save_checkpoint(f"direct://{tmp_path}/c", value, compress=compress)
        assert np.array_equal(s3dlio.load_checkpoint(f"direct://{tmp_path}/c")["w"], value["w"])
        assert np.array_equal(s3dlio.load_checkpoint(f"file://{tmp_path}/c")["w"], value["w"])


def test_case_12_tensors_changed_after_save_async(testkit: Testkit) -> None:
    manager = CheckpointManager(testkit.bucket() + "/m")
    testkit.faults(fault("stall", where={"operation": "PutObject", "times": 1}, stage="request", seconds=0.5))
    tree = {"w": np.ones(1000), "buffer": bytearray(b"a" * 9000)}
    handle = manager.save_async(1, tree)
    tree["w"][:] = 5
    tree["buffer"][:] = b"b" * 9000
    handle.result(30)
    loaded = manager.load()
    assert loaded["w"].sum() == 1000
    assert loaded["buffer"] == bytearray(b"a" * 9000)


def test_case_13_the_end_of_the_program_waits_for_a_save(tmp_path) -> None:
    program = """
        import sys, numpy as np
        from s3dlio.checkpoint import CheckpointManager
        CheckpointManager(sys.argv[1]).save_async(1, {"w": np.arange(3_000_000)})
    """
    command = [sys.executable, "-c", textwrap.dedent(program), f"file://{tmp_path}"]
    subprocess.run(command, check=True, timeout=60)
    assert CheckpointManager(f"file://{tmp_path}").load()["w"].sum() == 3_000_000 * 2_999_999 // 2


def test_case_14_a_forked_child_does_not_own_a_save(tmp_path) -> None:
    program = """
        import os, sys, numpy as np
        from s3dlio.checkpoint import CheckpointManager
        from s3dlio.errors import ForkedProcessError
        handle = CheckpointManager(sys.argv[1]).save_async(1, {"w": np.arange(3_000_000)})
        child = os.fork()
        if child == 0:
            try:
                handle.result()
            except ForkedProcessError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        handle.result(30)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program), f"file://{tmp_path}"]
    subprocess.run(command, check=True, timeout=60)
    assert CheckpointManager(f"file://{tmp_path}").verify(1) == 24_000_000
    assert ForkedProcessError is not None


# Twenty seconds on a quiet machine, and several times that where every core has other work.
@pytest.mark.timeout(360)
def test_case_15_200_000_tensors(tmp_path) -> None:
    value = {str(number): np.array([number], np.int32) for number in range(200_000)}
    s3dlio.save_checkpoint(f"file://{tmp_path}/c", value)
    loaded = s3dlio.load_checkpoint(f"file://{tmp_path}/c")
    assert len(loaded) == 200_000
    assert loaded["199999"].tolist() == [199_999]


def header(tensors: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def described(tree: list[Any], **changes: Any) -> dict[str, Any]:
    meta = {"v": 1, "writer": "x", "save_id": "", "rank": 0, "world_size": 1, "chunk": 4 << 20, "pickle": False}
    return {"__metadata__": {"s3dlio": json.dumps({**meta, "tree": tree, **changes})}}


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/s3dlio-checkpoint-bomb",)


BOMB = pickle.dumps(Bomb())
F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MALICIOUS = {
    "empty": b"",
    "pickle": BOMB,
    "zip of torch": b"PK\x03\x04" + BOMB,
    "huge header": header(b"{}", length=2**63),
    "header of 100 MB": header(b"{}", length=99_999_999),
    "deep": header(b'{"a":' * 100_000),
    "no object": header(b"[]"),
    "twice": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        b"x" * 8,
    ),
    "overlap": header({"a": F32, "b": F32}, b"x" * 4),
    "hole": header({"a": F32, "b": {**F32, "data_offsets": [8, 12]}}, b"x" * 12),
    "behind the end": header({"a": {**F32, "data_offsets": [0, 2**62], "shape": [2**60]}}, b"x" * 4),
    "backwards": header({"a": {**F32, "data_offsets": [4, 0]}}, b"x" * 4),
    "huge shape": header({"a": {**F32, "shape": [2**32, 2**32]}}, b"x" * 4),
    "overflow": header({"a": {**F32, "shape": [2**63, 2]}}, b"x" * 4),
    "negative": header({"a": {**F32, "shape": [-1]}}, b"x" * 4),
    "axes": header({"a": {**F32, "shape": [1] * 1000}}, b"x" * 4),
    "type": header({"a": {**F32, "dtype": "object"}}, b"x" * 4),
    "field": header({"a": {**F32, "module": "os"}}, b"x" * 4),
    "trailing": header({"a": F32}, b"x" * 5),
    "metadata": header({"__metadata__": {"a": 1}}),
    "metadata twice": header(b'{"__metadata__":{"a":"1","a":"2"}}'),
    "no table": header(described([None])),
    "container": b"S3CK\x01\r\n\0" + b"\xff" * 64,
    "container of nothing": b"S3CK\x01\r\n\0" + bytes(8) + bytes(24),
}


@pytest.mark.parametrize("name", sorted(MALICIOUS))
def test_case_17_malicious_files_are_refused(tmp_path, name: str) -> None:
    path = tmp_path / "c"
    path.write_bytes(MALICIOUS[name])
    for allow_pickle in (False, True):
        with pytest.raises(CorruptDataError):
            s3dlio.load_checkpoint(f"file://{path}", allow_pickle=allow_pickle)
    assert not os.path.exists("/tmp/s3dlio-checkpoint-bomb")


TREES = {
    "cut": [{"dict": 2}, "a", 1],
    "too much": [1, 2],
    "nothing": [],
    "count": [{"list": 2**62}],
    "negative": [{"list": -1}],
    "kind": [{"module": "os"}],
    "list": [[1]],
    "deep": [{"list": 1}] * 200 + [1],
    "stranger": [{"tensor": "x", "as": "numpy", "dtype": "<f4"}],
    "base64": [{"bytes": "!!"}],
    "float": [{"float": "00"}],
    "pickle that is not told of": [{"pickle": "gASVBQAAAAAAAAApLg=="}],
}


def sealed(tensors: dict[str, Any], data: bytes) -> bytes:
    """Write a file whose checksums are right, as an attacker would."""
    chunks = [data[at : at + (4 << 20)] for at in range(0, len(data), 4 << 20)]
    count = len(chunks) + 2
    tensors = {
        **tensors,
        "__s3dlio_crc32c__": {"dtype": "U32", "shape": [count], "data_offsets": [len(data), len(data) + 4 * count]},
    }
    head = header(tensors)
    table = b"".join(struct.pack("<I", crc32c(chunk)) for chunk in [*chunks, head])
    return head + data + table + struct.pack("<I", crc32c(table))


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("name", sorted(TREES))
def test_case_17_malicious_trees_are_refused(tmp_path, name: str) -> None:
    path = tmp_path / "c"
    path.write_bytes(sealed(described(TREES[name]), b""))
    with pytest.raises(CorruptDataError):
        s3dlio.load_checkpoint(f"file://{path}")


@pytest.mark.parametrize("dtype", ["O", "|O", "f4,f4", "V4", "<f8", "import os", ">f4"])
def test_case_17_types_that_do_not_fit_are_refused(tmp_path, dtype: str) -> None:
    path = tmp_path / "c"
    tree = [{"tensor": "a", "as": "numpy", "dtype": dtype}]
    path.write_bytes(sealed({**described(tree), "a": F32}, b"abcd"))
    with pytest.raises(CorruptDataError):
        s3dlio.load_checkpoint(f"file://{path}")


def test_case_17_what_is_sealed_well_loads(tmp_path) -> None:
    path = tmp_path / "c"
    tree = [{"dict": 1}, "a", {"tensor": "a", "as": "numpy", "dtype": "<f4"}]
    path.write_bytes(sealed({**described(tree), "a": F32}, struct.pack("<f", 1.5)))
    assert s3dlio.load_checkpoint(f"file://{path}")["a"].tolist() == [1.5]


def test_case_17_a_pickle_runs_only_when_it_is_allowed(tmp_path) -> None:
    path = tmp_path / "c"
    path.write_bytes(sealed(described([{"pickle": base64.b64encode(BOMB).decode()}], pickle=True), b""))
    with pytest.raises(CheckpointError, match="allow_pickle"):
        s3dlio.load_checkpoint(f"file://{path}")
    assert not os.path.exists("/tmp/s3dlio-checkpoint-bomb")


@pytest.mark.parametrize("skew", [-86_400, 86_400])
def test_case_19_clocks_do_not_matter(tmp_path, skew: int) -> None:
    manager = CheckpointManager(f"file://{tmp_path}")
    manager.save(1, {"s": 1})
    manager.save(2, {"s": 2})
    now = time.time() + skew
    for path in files(tmp_path):
        if "0002" in str(path):
            os.utime(path, (now, now))
    assert manager.latest() == 2
    assert manager.gc(keep_last=2) == []
    assert manager.load(1) == {"s": 1}
    assert manager.load() == {"s": 2}


def test_case_20_a_known_step_opens_without_a_listing(testkit: Testkit) -> None:
    manager = CheckpointManager(testkit.bucket() + "/m")
    manager.save(1, TREE)
    manager.save(2, TREE)
    testkit.faults(fault("status", where={"operation": "ListObjectsV2"}, status=403))
    assert equal(manager.load(1))
    with pytest.raises(S3dlioError):
        manager.steps()
    # A listing that lags behind: the hint leads to the step that it does not show.
    testkit.reset()
    assert manager.latest() == 2
    with pytest.raises(NotFoundError):
        manager.load(7)


def save_by_4(base: str, step: int, attempt: str) -> None:
    whole = np.arange(64).reshape(8, 8) + step
    for rank in (3, 2, 1, 0):
        part = Shard(whole[rank * 2 : rank * 2 + 2], (8, 8), (rank * 2, 0))
        manager = CheckpointManager(base, rank=rank, world_size=4, timeout=20)
        manager.save(step, {"w": part, "same": whole, "step": step}, attempt=attempt, replicated=["same"])


def whole_step(loaded: Any, step: int) -> bool:
    whole = np.arange(64).reshape(8, 8) + step
    return loaded["step"] == step and np.array_equal(loaded["w"], whole) and np.array_equal(loaded["same"], whole)


KILLED = """
    import sys
    sys.path.insert(0, sys.argv[3])
    from tests.faults.test_checkpoint import save_by_4
    save_by_4(sys.argv[1], 2, sys.argv[2])
"""


@pytest.mark.parametrize("stage", ["request", "reply"])
def test_a_kill_at_every_request_of_a_save_leaves_the_earlier_step(testkit: Testkit, stage: str) -> None:
    """One process plays four ranks in turn, so that the requests have one order and each of them can be hit."""
    bucket = testkit.bucket()
    save_by_4(bucket + "/count", 1, "a" * 32)
    testkit.reset()
    save_by_4(bucket + "/count", 2, "b" * 32)
    puts = [request for request in testkit.requests() if request["method"] == "PUT"]
    assert len(puts) >= 11
    for number in range(len(puts)):
        base = f"{bucket}/{stage}{number}"
        testkit.reset()
        save_by_4(base, 1, "a" * 32)
        testkit.faults(fault("stall", where={"method": "PUT", "skip": number, "times": 1}, stage=stage))
        root = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-c", textwrap.dedent(KILLED), base, "b" * 32, root]
        process = subprocess.Popen(command)
        deadline = time.monotonic() + 30
        while sum(request["method"] == "PUT" for request in testkit.requests()) <= len(puts) + number:
            assert time.monotonic() < deadline, f"request {number} did not come"
            assert process.poll() is None, f"the save ended before request {number}"
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        testkit.faults()
        after(base)


def after(base: str) -> None:
    """Check what a killed save has left, save again, and collect."""
    manager = CheckpointManager(base)
    assert whole_step(manager.load(1), 1)
    steps = manager.steps()
    assert steps in ([1], [1, 2])
    if steps == [1, 2]:
        assert whole_step(manager.load(2), 2)
    save_by_4(base, 3, "c" * 32)
    assert whole_step(manager.load(), 3)
    manager.gc(keep_last=1, grace=0)
    assert manager.steps() == [3]
    assert whole_step(manager.load(), 3)
    left = [uri for uri in s3dlio.list(base + "/", recursive=True) if "/data/" in uri]
    assert left
    assert all(f"{3:020}-" + "c" * 32 in uri for uri in left)


def test_a_kill_at_any_time_of_a_local_save_leaves_the_earlier_step(tmp_path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    for number in range(6):
        base = f"file://{tmp_path}/{number}"
        save_by_4(base, 1, "a" * 32)
        before = len(files(tmp_path / str(number)))
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), base, "b" * 32, root])
        deadline = time.monotonic() + 30
        # After so many new files of the nine that a save makes.
        while len(files(tmp_path / str(number))) < before + 2 * number and process.poll() is None:
            assert time.monotonic() < deadline
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        after(base)
