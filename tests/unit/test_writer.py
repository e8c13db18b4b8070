"""Streaming writers: what is written, what it is called, what it looks like afterwards."""

from __future__ import annotations

import asyncio
import copy
import gc
import io
import os
import pickle
import sys
import threading
import zlib

import numpy as np
import pytest
import s3dlio

KIB = 1 << 10
MIB = 1 << 20

CREATORS = {
    "s3://": s3dlio.create_s3_writer,
    "gs://": s3dlio.create_gcs_writer,
    "az://": s3dlio.create_azure_writer,
    "file://": s3dlio.create_filesystem_writer,
}


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


@pytest.fixture
def home(tmp_path):
    return f"file://{tmp_path}"


def test_the_documented_file_writer(home):
    options = s3dlio.PyWriterOptions()
    options.with_compression("zstd", 6)
    options.with_buffer_size(8192)
    writer = s3dlio.create_filesystem_writer(f"{home}/data.txt", options)
    writer.write_chunk(b"Hello World!")
    stats = writer.finalize()
    assert writer.uri == f"{home}/data.txt.zst"
    assert stats[0] == writer.bytes_written() == 12
    assert stats[1] == writer.compressed_bytes() == s3dlio.stat(writer.uri)["size"]
    assert writer.checksum() == stats["checksum"] == stats.checksum
    written, compressed = stats
    assert (written, compressed) == (12, stats["compressed_size"])


def test_the_documented_attributes(store):
    options = s3dlio.PyWriterOptions()
    options.compression = "zstd"
    options.compression_level = 3
    options.chunk_size = 4194304
    writer = s3dlio.create_writer(f"{store}/large_file.bin.zst", options=options)
    assert writer.uri == f"{store}/large_file.bin.zst"
    chunks = [noise(100_000, seed) * 5 for seed in range(3)]
    for chunk in chunks:
        assert writer.write(chunk) == len(chunk)
    stats = writer.finalize()
    assert stats["bytes_written"] == 1_500_000
    assert stats["compressed_size"] == s3dlio.stat(writer.uri)["size"] < 400_000


def test_aligned_chunks_through_the_direct_writer(tmp_path):
    writer = s3dlio.create_direct_filesystem_writer(f"file://{tmp_path}/x", s3dlio.PyWriterOptions())
    assert writer.uri == f"direct://{tmp_path}/x"
    for _ in range(3):
        writer.write_chunk(b"a" * 4096)
    writer.write_chunk(b"tail")
    assert tuple(writer.finalize()) == (3 * 4096 + 4, 3 * 4096 + 4)
    assert (tmp_path / "x").read_bytes() == b"a" * 4096 * 3 + b"tail"


@pytest.mark.parametrize("chunk", [1, 1000, 300_001])
def test_what_is_written_is_read_back(store, chunk):
    data = noise(2 * MIB if chunk > 1 else 2000)
    with s3dlio.create_writer(f"{store}/dir/x") as writer:
        for start in range(0, len(data), chunk):
            writer.write(data[start : start + chunk])
        assert writer.tell() == writer.bytes_written() == len(data)
        assert not s3dlio.exists(f"{store}/dir/x")
    assert writer.closed
    assert s3dlio.get(f"{store}/dir/x") == data
    assert writer.checksum().startswith("crc32c:")


def test_an_empty_object(store):
    with s3dlio.create_writer(f"{store}/empty") as writer:
        pass
    assert s3dlio.get(f"{store}/empty") == b""
    assert writer.checksum() == "crc32c:00000000"


def test_the_checksum_is_crc32c_of_what_was_given(home):
    for method in ("none", "zstd", "gzip", "lz4"):
        writer = s3dlio.create_writer(f"{home}/sum", s3dlio.PyWriterOptions(compression=method))
        writer.write(b"123456789")
        assert writer.finalize()["checksum"] == "crc32c:e3069283"


def decode(method: str, body: bytes) -> bytes:
    """Decode by the reference library."""
    if method == "gzip":
        return zlib.decompress(body, wbits=31)
    if method == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read()
    import lz4.frame

    return lz4.frame.decompress(body)


LEVELS = [("zstd", None), ("zstd", 1), ("zstd", 22), ("gzip", None), ("gzip", 1), ("gzip", 9), ("lz4", None)]


@pytest.mark.parametrize(("method", "level"), LEVELS)
def test_the_reference_library_reads_it(home, method, level):
    data = noise(700_000) + bytes(2 * MIB)
    options = s3dlio.PyWriterOptions(chunk_size=300_000).with_compression(method, level)
    with s3dlio.create_writer(f"{home}/x", options) as writer:
        for start in range(0, len(data), 99_999):
            writer.write(data[start : start + 99_999])
    body = bytes(s3dlio.get(writer.uri))
    assert len(body) == writer.compressed_bytes() < len(data) // 2
    assert decode(method, body) == data


@pytest.mark.parametrize(("method", "extension"), [("zstd", ".zst"), ("gzip", ".gz"), ("lz4", ".lz4"), ("none", "")])
def test_the_extension_is_appended_once(home, method, extension):
    options = s3dlio.PyWriterOptions(compression=method)
    for name in ("x.bin", f"x.bin{extension}"):
        writer = s3dlio.create_writer(f"{home}/{name}", options)
        assert writer.uri == writer.name == f"{home}/x.bin{extension}"
        writer.abort()


def test_compressed_bytes_come_out_as_it_goes(home):
    for method in ("zstd", "gzip", "lz4"):
        writer = s3dlio.create_writer(f"{home}/x", s3dlio.PyWriterOptions(compression=method))
        writer.write(noise(4 * MIB))
        assert writer.compressed_bytes() > 3 * MIB
        writer.abort()


def test_any_contiguous_buffer_is_taken_and_copied(home):
    array = np.arange(1000, dtype="<f8").reshape(10, 100)
    changing = bytearray(b"before")
    with s3dlio.create_writer(f"{home}/x") as writer:
        for piece in (
            b"ab",
            bytearray(b"cd"),
            memoryview(b"ef"),
            s3dlio.BytesView(b"gh"),
            array,
            io.BytesIO(b"ij").getbuffer(),
        ):
            writer.write(piece)
        assert writer.write(changing) == 6
        changing[:] = b"after!"
        changing.append(1)
    assert s3dlio.get(writer.uri) == b"abcdefgh" + array.tobytes() + b"ij" + b"before"
    with s3dlio.create_writer(f"{home}/y") as writer:
        for bad in ("text", 5, array[:, ::2], None):
            with pytest.raises(TypeError):
                writer.write(bad)
        writer.write(b"still good")
    assert s3dlio.get(f"{home}/y") == b"still good"


def test_large_and_small_pieces_of_any_kind_come_out_in_order(store):
    sizes = [10, MIB + 70_000, MIB, 5 * MIB, 3, 6 * MIB + 1, MIB - 1, 11 * MIB, 1]
    kinds = [bytes, bytearray, memoryview]
    pieces = [noise(size, seed) for seed, size in enumerate(sizes * 2)]
    with s3dlio.create_writer(f"{store}/mixed", s3dlio.PyWriterOptions(chunk_size=5 * MIB)) as writer:
        for number, piece in enumerate(pieces):
            lent = kinds[number % 3](piece if number % 3 < 2 else bytearray(piece))
            writer.write(lent)
            if number % 3:
                # What can be changed is the caller's again.
                lent[:] = bytes(len(piece))
    assert bytes(s3dlio.get(f"{store}/mixed")) == b"".join(pieces)


def test_bytes_are_let_go_when_they_have_been_sent(store):
    options = s3dlio.PyWriterOptions(chunk_size=5 * MIB, buffer_size=10 * MIB)
    large, fitting = noise(12 * MIB), noise(MIB, 2)
    before = sys.getrefcount(large), sys.getrefcount(fitting)
    with s3dlio.create_writer(f"{store}/kept", options) as writer:
        writer.write(large)
        writer.flush()
        # The rest of 2 MiB, which waits for more, is a copy. Memory as a store keeps the parts until they are one.
        assert sys.getrefcount(large) == before[0] or store.startswith("memory:")
        writer.write(fitting)
    assert (sys.getrefcount(large), sys.getrefcount(fitting)) == before
    assert bytes(s3dlio.get(f"{store}/kept")) == large + fitting


class TestAsAFile:
    def test_torch_save(self, store):
        import torch

        state = {"weights": torch.arange(300_000, dtype=torch.float32), "step": 7}
        with s3dlio.create_writer(f"{store}/model.pt") as writer:
            torch.save(state, writer)
        back = torch.load(io.BytesIO(s3dlio.get(f"{store}/model.pt")))
        assert back["step"] == 7
        assert torch.equal(back["weights"], state["weights"])

    def test_numpy_save(self, store):
        array = np.arange(1_000_000).reshape(1000, 1000)
        with s3dlio.create_writer(f"{store}/a.npy") as writer:
            np.save(writer, array)
        assert np.array_equal(s3dlio.read_npy(f"{store}/a.npy"), array)
        with s3dlio.create_writer(f"{store}/a.npz") as writer:
            np.savez(writer, one=array[:10], two=array[10:20])
        arrays = np.load(io.BytesIO(s3dlio.get(f"{store}/a.npz")))
        assert np.array_equal(arrays["two"], array[10:20])

    def test_pickle_dump(self, store):
        thing = {"list": list(range(100_000)), "bytes": noise(500_000)}
        with s3dlio.create_writer(f"{store}/p.zst", s3dlio.PyWriterOptions(compression="zstd")) as writer:
            pickle.dump(thing, writer)
        assert pickle.loads(decode("zstd", bytes(s3dlio.get(f"{store}/p.zst")))) == thing

    def test_what_it_says_of_itself(self, home):
        writer = s3dlio.create_writer(f"{home}/x")
        assert (writer.writable(), writer.readable(), writer.seekable(), writer.closed) == (True, False, False, False)
        assert (writer.mode, writer.tell()) == ("wb", 0)
        assert f"{home}/x" in repr(writer)
        with pytest.raises(io.UnsupportedOperation):
            writer.read()
        writer.write(b"abc")
        writer.flush()
        writer.close()
        writer.close()
        assert writer.closed
        assert "closed" in repr(writer)
        assert s3dlio.get(f"{home}/x") == b"abc"


def fail(writer, data: bytes) -> None:
    writer.write(data)
    raise ZeroDivisionError


class TestTheEnd:
    def test_an_exception_leaves_what_was_there(self, store):
        s3dlio.put(f"{store}/x", b"old")
        with pytest.raises(ZeroDivisionError), s3dlio.create_writer(f"{store}/x") as writer:
            fail(writer, noise(MIB))
        assert writer.closed
        assert s3dlio.get(f"{store}/x") == b"old"
        assert s3dlio.list(f"{store}/", recursive=True) == [f"{store}/x"]
        with pytest.raises(RuntimeError, match="aborted"):
            writer.finalize()

    def test_an_exception_before_anything(self, tmp_path):
        with pytest.raises(ZeroDivisionError), s3dlio.create_writer(f"file://{tmp_path}/x"):
            raise ZeroDivisionError
        assert os.listdir(tmp_path) == []

    def test_a_dropped_writer_leaves_nothing(self, tmp_path):
        writer = s3dlio.create_writer(f"file://{tmp_path}/x", s3dlio.PyWriterOptions(chunk_size=256 * KIB))
        writer.write(noise(2 * MIB))
        writer.flush()
        del writer
        gc.collect()
        until(lambda: os.listdir(tmp_path) == [])

    def test_a_writer_is_finished_once(self, home):
        writer = s3dlio.create_writer(f"{home}/x")
        writer.write(b"x")
        writer.finalize()
        for late in (writer.finalize, writer.flush, lambda: writer.write(b"y")):
            with pytest.raises(RuntimeError, match="finished"):
                late()
        with pytest.raises(s3dlio.UnsupportedError, match="finished"):
            writer.abort()

    def test_abort_inside_the_block(self, tmp_path):
        with s3dlio.create_writer(f"file://{tmp_path}/x") as writer:
            writer.write(b"x")
            writer.abort()
            writer.abort()
        assert os.listdir(tmp_path) == []

    def test_finalize_inside_the_block(self, home):
        with s3dlio.create_writer(f"{home}/x") as writer:
            writer.write(b"x")
            stats = writer.finalize()
        assert stats.bytes_written == 1


def until(condition, seconds: float = 20) -> None:
    waiting = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        waiting.wait(0.01)
    pytest.fail("waited in vain")


class TestStats:
    def stats(self, home) -> s3dlio.WriterStats:
        writer = s3dlio.create_writer(f"{home}/x", s3dlio.PyWriterOptions(compression="gzip"))
        writer.write(bytes(1000))
        return writer.finalize()

    def test_are_a_tuple_and_a_mapping(self, home):
        stats = self.stats(home)
        assert isinstance(stats, tuple)
        assert len(stats) == 2
        assert stats == (1000, stats.compressed_bytes)
        assert stats[:1] == (1000,)
        assert stats["compressed_size"] == stats["compressed_bytes"] == stats[1] < 100
        assert stats["parts"] == stats.parts == 1
        assert set(stats.keys()) == set(dict(stats)) >= {"bytes_written", "compressed_size", "checksum", "etag"}
        assert "checksum" in stats
        assert 1000 in stats
        assert "nonsense" not in stats
        assert stats.get("nonsense", 5) == 5
        assert stats.get("etag") == stats.etag
        with pytest.raises(KeyError):
            stats["nonsense"]
        assert "1000" in repr(stats)

    def test_are_pickled(self, home):
        stats = self.stats(home)
        for again in (pickle.loads(pickle.dumps(stats)), copy.deepcopy(stats)):
            assert isinstance(again, s3dlio.WriterStats)
            assert dict(again) == dict(stats)


class TestOptions:
    def test_methods_change_and_return(self):
        options = s3dlio.PyWriterOptions()
        assert options.with_compression("gzip", 9) is options
        assert options.with_buffer_size(1000) is options
        assert options.with_chunk_size(2000) is options
        expected = {
            "compression": "gzip",
            "compression_level": 9,
            "buffer_size": 1000,
            "chunk_size": 2000,
            "content_type": None,
        }
        assert options.to_dict() == expected
        assert s3dlio.PyWriterOptions(**options.to_dict()) == options
        assert pickle.loads(pickle.dumps(options)) == copy.copy(options) == options
        assert options != s3dlio.PyWriterOptions()
        assert repr(s3dlio.PyWriterOptions(chunk_size=5)) == "PyWriterOptions(chunk_size=5, compression='none')"

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("compression", "bzip2"),
            ("compression_level", 0),
            ("compression_level", 23),
            ("chunk_size", 0),
            ("buffer_size", -1),
        ],
    )
    def test_a_bad_value_is_refused_at_once(self, name, value):
        options = s3dlio.PyWriterOptions(compression="zstd")
        with pytest.raises(s3dlio.ConfigError, match=name):
            setattr(options, name, value)
        with pytest.raises(ValueError, match=name):
            s3dlio.PyWriterOptions(**({"compression": "zstd"} | {name: value}))
        assert options == s3dlio.PyWriterOptions(compression="zstd")

    @pytest.mark.parametrize(("name", "value"), [("chunk_size", 1.5), ("buffer_size", "1"), ("chunk_size", True)])
    def test_a_bad_type_is_refused_at_once(self, name, value):
        with pytest.raises(TypeError, match=name):
            setattr(s3dlio.PyWriterOptions(), name, value)

    def test_an_unknown_option_is_refused(self):
        with pytest.raises(s3dlio.ConfigError, match="compression_level"):
            s3dlio.PyWriterOptions().compresion_level = 3

    def test_a_level_must_fit_its_method(self, home):
        for method, level in (("gzip", 10), ("lz4", 1), ("none", 1)):
            with pytest.raises(s3dlio.ConfigError, match="compression_level"):
                s3dlio.PyWriterOptions().with_compression(method, level)
            options = s3dlio.PyWriterOptions()
            options.compression = method
            options.compression_level = level
            with pytest.raises(s3dlio.ConfigError, match="compression_level"):
                s3dlio.create_writer(f"{home}/x", options)

    def test_other_options_are_refused(self, home):
        with pytest.raises(TypeError, match="PyWriterOptions"):
            s3dlio.create_writer(f"{home}/x", {"compression": "zstd"})

    def test_a_file_has_no_content_type(self, home):
        with pytest.raises(s3dlio.UnsupportedError, match="content type"):
            s3dlio.create_writer(f"{home}/x", s3dlio.PyWriterOptions(content_type="text/plain"))


@pytest.mark.parametrize("scheme", CREATORS)
def test_a_creator_takes_its_scheme_only(scheme):
    for other in ("memory://b/k", "invalid-uri", "/tmp/x", *(f"{name}b/k/k" for name in CREATORS if name != scheme)):
        with pytest.raises(s3dlio.InvalidUriError, match=scheme) as caught:
            CREATORS[scheme](other, s3dlio.PyWriterOptions())
        assert caught.value.uri == other
        assert isinstance(caught.value, RuntimeError)


def test_directories_are_refused(home):
    for uri in (f"{home}/", "s3://bucket", "s3://bucket/dir/"):
        with pytest.raises(s3dlio.InvalidUriError, match="directory"):
            s3dlio.create_writer(uri)


def test_a_writer_is_not_pickled(home):
    for writer in (s3dlio.create_writer(f"{home}/x"), s3dlio.MultipartUploadWriter.from_uri(f"{home}/x")):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(writer)
        writer.abort()


class TestAsync:
    async def test_a_writer_under_asyncio(self, store):
        data = noise(MIB)
        options = s3dlio.PyWriterOptions(compression="lz4")
        async with s3dlio.create_writer(f"{store}/x", options) as writer:
            for start in range(0, len(data), 100_000):
                await writer.write_async(data[start : start + 100_000])
            await writer.write_chunk_async(b"end")
            await writer.flush_async()
        assert decode("lz4", bytes(await s3dlio.get_async(f"{store}/x.lz4"))) == data + b"end"

    async def test_finalize(self, store):
        writer = s3dlio.create_writer(f"{store}/x")
        await writer.write_async(b"abc")
        assert tuple(await writer.finalize_async()) == (3, 3)
        await writer.close_async()
        assert await s3dlio.get_async(f"{store}/x") == b"abc"

    async def test_an_exception_leaves_nothing(self, store):
        async def work() -> None:
            async with s3dlio.create_writer(f"{store}/x") as writer:
                await writer.write_async(b"abc")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await work()
        assert not await s3dlio.exists_async(f"{store}/x")

    async def test_many_writers_at_once(self, store):
        async def one(number: int) -> None:
            async with s3dlio.MultipartUploadWriter.from_uri(f"{store}/{number}") as writer:
                for _ in range(10):
                    await writer.write_async(bytes([number]) * 1000)

        await asyncio.gather(*(one(number) for number in range(50)))
        assert all(s3dlio.get(f"{store}/{number}") == bytes([number]) * 10_000 for number in range(50))
