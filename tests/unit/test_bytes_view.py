"""A BytesView stands wherever ``bytes`` may stand."""

from __future__ import annotations

import array
import copy
import gc
import hashlib
import io
import operator
import pickle
import struct
import threading
import zlib

import numpy as np
import pytest
import s3dlio
from hypothesis import given
from hypothesis import strategies as st
from s3dlio import BytesView

some_bytes = st.binary(max_size=40)
bounds = st.none() | st.integers(-50, 50)
steps = st.none() | st.integers(-5, 5).filter(bool)


def same(call, data: bytes, *others):
    """Compare what a call gives, or raises, for bytes and for a view of them."""

    def outcome(value):
        try:
            return call(value, *others)
        except Exception as error:  # noqa: BLE001
            return type(error)

    expected, found = outcome(data), outcome(BytesView(data))
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, BytesView)


def test_is_made_of_any_buffer_and_owns_a_copy():
    source = bytearray(b"abc")
    view = BytesView(source)
    source[0] = 0
    assert view == b"abc"
    assert BytesView() == b""
    assert BytesView(np.arange(2, dtype="<u2")) == b"\0\0\1\0"
    for wrong in ("abc", 5, [1], np.arange(6)[::2]):
        with pytest.raises(TypeError):
            BytesView(wrong)


@given(some_bytes, some_bytes)
@pytest.mark.parametrize("compare", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
def test_compares_like_bytes(compare, a, b):
    expected = compare(a, b)
    for left in (BytesView(a), a):
        for right in (BytesView(b), b, bytearray(b), memoryview(b)):
            if isinstance(right, memoryview) and compare not in (operator.eq, operator.ne):
                continue
            assert compare(left, right) is expected


@given(some_bytes)
def test_hashes_like_bytes(data):
    assert hash(BytesView(data)) == hash(data)
    assert {BytesView(data): 1}[data] == 1
    assert {data: 1}[BytesView(data)] == 1
    assert len({BytesView(data), data}) == 1


@pytest.mark.parametrize("other", ["abc", 5, None, [97, 98, 99], 1.5])
def test_is_unequal_to_what_is_no_buffer(other):
    view = BytesView(b"abc")
    assert view != other
    assert (view == other) is False
    with pytest.raises(TypeError):
        operator.lt(view, other)


@given(some_bytes, st.integers(-50, 50))
def test_indexes_like_bytes(data, index):
    same(operator.getitem, data, index)
    same(operator.getitem, data, np.int64(index))


@pytest.mark.parametrize("index", [2**70, -(2**70), 2**63 - 1, -(2**63), True, 1.0, "a", None, ()])
def test_refuses_indices_that_bytes_refuses(index):
    same(operator.getitem, b"abc", index)


@given(some_bytes, bounds, bounds, steps)
def test_slices_like_bytes(data, start, stop, step):
    part = BytesView(data)[start:stop:step]
    assert isinstance(part, BytesView)
    assert part == data[start:stop:step]


def test_refuses_a_step_of_zero():
    with pytest.raises(ValueError, match="zero"):
        BytesView(b"abc")[::0]


def address(buffer) -> int:
    return np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]


def test_slices_share_memory_and_keep_it():
    view = BytesView(bytes(range(256)) * 100)
    part = view[1000:2000][10:20]
    assert address(part) == address(view) + 1010
    expected = bytes(view)[1010:1020]
    del view
    gc.collect()
    assert part == expected


@given(some_bytes)
def test_iterates_like_bytes(data):
    view = BytesView(data)
    assert list(view) == list(data)
    assert list(reversed(view)) == list(reversed(data))
    assert len(view) == len(data)
    assert bool(view) is bool(data)
    assert bytes(view) == view.to_bytes() == view.tobytes() == data


@given(some_bytes, some_bytes | st.integers(0, 255) | st.integers() | st.text(max_size=2))
def test_contains_like_bytes(data, item):
    same(lambda value: item in value, data)


@given(some_bytes, some_bytes, st.integers(-2, 5))
def test_adds_and_repeats_like_bytes(a, b, count):
    view = BytesView(a)
    for other in (b, bytearray(b), memoryview(b), BytesView(b)):
        assert view + other == a + b
    assert b + view == b + a
    assert bytearray(b) + view == b + a
    assert view * count == count * view == a * count
    assert b"".join([view, b, view]) == a + b + a


@pytest.mark.parametrize("operation", [operator.add, operator.mul, operator.mod])
@pytest.mark.parametrize("other", [1.5, "x", None, [1]])
def test_refuses_operands_that_bytes_refuses(operation, other):
    same(operation, b"abc", other)
    same(lambda value: operation(other, value), b"abc")


def test_formats_like_bytes():
    assert BytesView(b"%d of %s") % (3, b"x") == b"3 of x"
    assert b"%s|%b" % (BytesView(b"a"), BytesView(b"b")) == b"a|b"
    same(operator.mod, b"%d", "x")


CALLS = {
    "capitalize": (),
    "center": (20, b"-"),
    "count": (b"a",),
    "decode": ("latin-1",),
    "endswith": ((b"z", b"a"),),
    "expandtabs": (4,),
    "find": (b"a", 1),
    "hex": (":", 2),
    "index": (b"a",),
    "isalnum": (),
    "isalpha": (),
    "isascii": (),
    "isdigit": (),
    "islower": (),
    "isspace": (),
    "istitle": (),
    "isupper": (),
    "join": ([b"x", b"y"],),
    "ljust": (20,),
    "lower": (),
    "lstrip": (b" a",),
    "partition": (b"a",),
    "removeprefix": (b"a",),
    "removesuffix": (b"a",),
    "replace": (b"a", b"bb", 1),
    "rfind": (b"a",),
    "rindex": (b"a",),
    "rjust": (20,),
    "rpartition": (b"a",),
    "rsplit": (b"a", 1),
    "rstrip": (),
    "split": (),
    "splitlines": (True,),
    "startswith": (b"a",),
    "strip": (),
    "swapcase": (),
    "title": (),
    "translate": (bytes(range(256))[::-1], b"a"),
    "upper": (),
    "zfill": (12,),
}


@given(st.binary(max_size=20) | st.text("aA z\t\n-1", max_size=12).map(str.encode))
@pytest.mark.parametrize("method", CALLS)
def test_methods_do_what_those_of_bytes_do(method, data):
    same(lambda value: getattr(value, method)(*CALLS[method]), data)


def test_has_every_method_of_bytes():
    alternative_constructors = {"fromhex", "maketrans"}
    public = {name for name in dir(bytes) if not name.startswith("_")}
    assert public - alternative_constructors <= set(dir(BytesView))
    assert public - alternative_constructors == set(CALLS)


def test_keyword_arguments_reach_the_methods():
    assert BytesView("é".encode()).decode(encoding="ascii", errors="replace") == "\ufffd\ufffd"
    assert BytesView(b"a,b,c").split(sep=b",", maxsplit=1) == [b"a", b"b,c"]


def test_prints_as_a_bytes_literal():
    view = BytesView(b"Hello, 'World'\n")
    assert str(view) == str(b"Hello, 'World'\n")
    assert f"{view}" == str(view)
    assert repr(view) == "BytesView(15 bytes)"
    assert type(view).__name__ == "BytesView"


def test_is_a_read_only_buffer():
    view = BytesView(b"abcd")
    for memory in (view.memoryview(), memoryview(view)):
        assert memory.readonly
        assert memory.contiguous
        assert (memory.format, memory.itemsize, memory.shape) == ("B", 1, (4,))
        assert memory == b"abcd"
        with pytest.raises(TypeError):
            memory[0] = 1
    values = np.frombuffer(view, "<u2")
    assert not values.flags.writeable
    assert values.__array_interface__["data"][0] == address(view)
    assert np.asarray(memoryview(BytesView(b""))).size == 0


def test_buffers_keep_the_memory_alive():
    view = BytesView(b"x" * 1_000_000)
    memory, numbers = memoryview(view)[5:10], np.frombuffer(view, np.uint8)
    del view
    gc.collect()
    noise = [bytearray(1_000_000) for _ in range(20)]
    assert memory == b"xxxxx"
    assert (numbers == ord("x")).all()
    del noise


def test_stands_where_the_library_takes_buffers():
    view = BytesView(b"\1\0\2\0")
    assert struct.unpack("<HH", view) == (1, 2)
    assert int.from_bytes(view, "little") == 0x20001
    assert io.BytesIO(view).read() == b"\1\0\2\0"
    assert hashlib.sha256(view).digest() == hashlib.sha256(b"\1\0\2\0").digest()
    assert zlib.crc32(view) == zlib.crc32(b"\1\0\2\0")
    assert bytearray(view) == b"\1\0\2\0"
    assert array.array("B", view).tolist() == [1, 0, 2, 0]
    assert np.array(view).dtype == np.dtype("u1")


@given(some_bytes)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(protocol, data):
    again = pickle.loads(pickle.dumps(BytesView(data), protocol))
    assert type(again) is BytesView
    assert again == data


def test_pickles_out_of_band_without_a_copy():
    view = BytesView(b"x" * 100_000)
    beside: list[pickle.PickleBuffer] = []
    small = pickle.dumps(view, 5, buffer_callback=beside.append)
    assert len(small) < 500
    assert address(beside[0]) == address(view)
    assert pickle.loads(small, buffers=beside) == view


def test_copies_are_the_view_itself():
    view = BytesView(b"abc")
    assert copy.copy(view) is view
    assert copy.deepcopy(view) is view
    assert copy.deepcopy({"k": [view]})["k"][0] == b"abc"


def test_takes_no_attributes():
    view = BytesView(b"abc")
    with pytest.raises(AttributeError):
        view.note = 1
    with pytest.raises(TypeError):
        view[0] = 1


def test_is_shared_between_threads():
    view = s3dlio.BytesView(bytes(range(256)) * 1000)
    sums: list[int] = []

    def work() -> None:
        sums.append(sum(int(np.frombuffer(view[i : i + 1000], np.uint8).sum()) for i in range(200)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(sums)) == 1
