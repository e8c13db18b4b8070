"""Calls that the published interface documents, as they are written there.

`{place}` stands for the bucket or directory that a call names; everything else stands as documented. A snippet runs on
each store that it names, and those that show the general form run on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EVERY = ("s3", "gs", "az", "file", "direct")


@dataclass(frozen=True)
class Snippet:
    """One documented piece of code."""

    name: str
    code: str
    # An expression that must hold afterwards, with the names that the code has set.
    holds: str = "True"
    stores: tuple[str, ...] = EVERY
    # Names that the documentation takes for granted.
    given: str = ""
    # Objects that are there before, by key: the content, or a number of bytes.
    objects: dict[str, bytes | int] = field(default_factory=dict)


FILES = {f"prefix/file{i}.dat": b"content %d" % i for i in range(3)}

READING = [
    Snippet(
        "0.9 quick start: put",
        's3dlio.put("{place}/data.bin", b"Hello, World!")',
        "s3dlio.get(place + '/data.bin') == b'Hello, World!'",
    ),
    Snippet(
        "0.9 quick start: get",
        'data = s3dlio.get("{place}/data.bin")\nprint(data)',
        "printed == \"b'Hello, World!'\\n\"",
        objects={"data.bin": b"Hello, World!"},
    ),
    Snippet(
        "0.9 quick start: list",
        'objects = s3dlio.list("{place}/prefix/")\nfor uri in objects:\n    print(uri)',
        "objects == [f'{place}/prefix/file{i}.dat' for i in range(3)] and printed.count('\\n') == 3",
        objects=FILES,
    ),
    Snippet(
        "0.9 quick start: stat",
        'metadata = s3dlio.stat("{place}/data.bin")\n'
        "print(f\"Size: {metadata['size']} bytes\")\n"
        "print(f\"Last modified: {metadata['last_modified']}\")",
        "printed.startswith('Size: 13 bytes\\nLast modified: 20')",
        objects={"data.bin": b"Hello, World!"},
    ),
    Snippet(
        "0.9 quick start: delete",
        's3dlio.delete("{place}/data.bin")',
        "not s3dlio.exists(place + '/data.bin')",
        objects={"data.bin": b"x"},
    ),
    Snippet(
        "0.9 put from a file",
        'with open("local_file.bin", "rb") as f:\n    data = f.read()\n    s3dlio.put("{place}/key", data)',
        "s3dlio.get(place + '/key') == b'local_file.bin'",
        given='files(".", "local_file.bin")',
    ),
    Snippet(
        "0.9 put_async",
        'await s3dlio.put_async("{place}/key", b"data")',
        "s3dlio.get(place + '/key') == b'data'",
    ),
    Snippet(
        "0.9 get_range",
        'data = s3dlio.get_range("{place}/key", offset=1024, length=4096)',
        "len(data) == 4096 and data == s3dlio.get(place + '/key')[1024:5120]",
        objects={"key": 10_000},
    ),
    Snippet(
        "0.9 get_many_async",
        'data = await s3dlio.get_many_async(["{place}/key1", "{place}/key2"])',
        "data == [(place + '/key1', b'one'), (place + '/key2', b'two')]",
        objects={"key1": b"one", "key2": b"two"},
    ),
    Snippet(
        "0.9 list of local files",
        'files = s3dlio.list("{place}/")',
        "files == [place + '/a', place + '/sub/']",
        objects={"a": b"a", "sub/b": b"b"},
    ),
    Snippet(
        "0.9 stat",
        'metadata = s3dlio.stat("{place}/key")\n'
        "print(metadata['size'])\nprint(metadata['last_modified'])\nprint(metadata['etag'])",
        "printed.startswith('3\\n') and metadata['etag']",
        objects={"key": b"abc"},
    ),
    Snippet(
        "0.9 stat_many_async",
        'stats = await s3dlio.stat_many_async([\n    "{place}/key1",\n    "{place}/key2"\n])',
        "[stat['size'] for stat in stats] == [3, 4]",
        objects={"key1": b"one", "key2": b"four"},
    ),
    Snippet(
        "0.9 delete of what a listing gives",
        'objects = s3dlio.list("{place}/prefix/")\nfor uri in objects:\n    s3dlio.delete(uri)',
        "s3dlio.list(place + '/prefix/') == []",
        objects=FILES,
    ),
    Snippet(
        "0.9 zero-copy access",
        'view = s3dlio.get("{place}/key")\nmemview = view.memoryview()\ndata = bytes(view)',
        "memview == b'abc' and type(data) is bytes and data == b'abc' and memview.readonly",
        objects={"key": b"abc"},
    ),
    Snippet(
        "0.9 sizes asked for first",
        'uris = s3dlio.list("{place}/dataset/")\n'
        "s3dlio.get_many_stats(uris, concurrency=100)\n"
        "for uri in uris:\n    data = s3dlio.get(uri)",
        "len(uris) == 20 and data == b'19'",
        objects={f"dataset/{i:02}": b"%d" % i for i in range(20)},
    ),
    Snippet(
        "0.9 parallel downloads",
        'uris = [f"{place}/obj_{i}.dat" for i in range(1000)]\nresults = s3dlio.get_many(uris, workers=64)',
        "[uri for uri, _ in results] == uris and results[999][1] == b'999'",
        objects={f"obj_{i}.dat": b"%d" % i for i in range(1000)},
    ),
    Snippet(
        "0.9 batches: get_many_async",
        'uris = ["{place}/file1", "{place}/file2", "{place}/file3"]\nresults = await s3dlio.get_many_async(uris)',
        "[bytes(data) for _, data in results] == [b'1', b'2', b'3']",
        objects={f"file{i}": b"%d" % i for i in (1, 2, 3)},
    ),
    Snippet(
        "0.9 several processes",
        "result = s3dlio.mp_get(\n"
        '    uri="{place}/prefix/",\n    procs=4,\n    jobs=64,\n    num=1000,\n    template="obj_{}.dat"\n)\n'
        "print(f\"Throughput: {result['throughput_mb_s']} MB/s\")",
        "result['total_objects'] == 1000 and result['total_bytes'] == 2890 and printed.startswith('Throughput: ')",
        stores=("s3", "file"),
        objects={f"prefix/obj_{i}.dat": b"%d" % i for i in range(1000)},
    ),
    Snippet(
        "0.9 several processes: what the result tells",
        "result = s3dlio.mp_get(\n"
        '    uri="{place}/dataset/",\n    procs=8,\n    jobs=128,\n    num=10000,\n    template="data_{}.bin"\n)\n'
        "print(f\"Total: {result['total_bytes']} bytes\")\n"
        "print(f\"Time: {result['duration_seconds']}s\")\n"
        "print(f\"Throughput: {result['throughput_mb_s']} MB/s\")\n"
        "print(f\"Operations/sec: {result['ops_per_sec']}\")",
        "result['total_objects'] == result['total_bytes'] == 10000 and result['ops_per_sec'] > 0",
        stores=("file",),
        objects={f"dataset/data_{i}.bin": b"x" for i in range(10000)},
    ),
    Snippet(
        "0.9 old names",
        'keys = s3dlio.list_objects("{place}/prefix/")',
        "[key.rsplit('/', 1)[1] for key in keys] == ['file0.dat', 'file1.dat', 'file2.dat'] and '://' not in keys[0]",
        objects=FILES,
    ),
    Snippet(
        "0.9 migration table",
        'a = s3dlio.list_objects("{place}/prefix/")\n'
        'b = s3dlio.get_object("{place}/prefix/file0.dat")\n'
        'c = s3dlio.stat_object("{place}/prefix/file0.dat")',
        "len(a) == 3 and b == b'content 0' and c['size'] == 9",
        objects=FILES,
    ),
]

WRITING = [
    Snippet(
        "0.9 streaming writer",
        "writer = s3dlio.create_s3_writer(\n"
        '    "{place}/large_file.bin.zst",\n    options=s3dlio.PyWriterOptions()\n)\n'
        "writer.write(chunk1)\nwriter.write(chunk2)\nwriter.write(chunk3)\n"
        "stats = writer.finalize()\n"
        "print(f\"Wrote {stats['bytes_written']} bytes\")\n"
        "print(f\"Compressed size: {stats['compressed_size']}\")",
        "printed == 'Wrote 6 bytes\\nCompressed size: 6\\n' and s3dlio.get(place + '/large_file.bin.zst') == b'aabbcc'",
        stores=("s3",),
        given='chunk1, chunk2, chunk3 = b"aa", b"bb", b"cc"',
    ),
    Snippet(
        "0.9 writer options",
        "options = s3dlio.PyWriterOptions()\n"
        'options.compression = "zstd"\noptions.compression_level = 3\noptions.chunk_size = 4194304\n'
        "{writer} = s3dlio.create_{writer}(uri, options)",
        "(options.compression, options.compression_level, options.chunk_size) == ('zstd', 3, 4194304) and"
        " {writer}.write(b'x' * 1000) and {writer}.finalize()['compressed_size'] < 100 and"
        " s3dlio.get(uri + '.zst', decompress='zstd') == b'x' * 1000",
        given='uri = "{place}/object"',
    ),
    Snippet(
        "0.7 writer",
        "options = s3dlio.PyWriterOptions()\n"
        "options.with_compression('zstd', 6)\noptions.with_buffer_size(8192)\n"
        "writer = s3dlio.create_{writer}('{place}/data.txt', options)\n"
        "writer.write_chunk(b'Hello World!')\n"
        "stats = writer.finalize()\n"
        "bytes_written = writer.bytes_written()\n"
        "compressed_bytes = writer.compressed_bytes()\n"
        "checksum = writer.checksum()",
        "stats[0] == bytes_written == 12 and stats[1] == compressed_bytes > 0 and checksum.startswith('crc32c:') and"
        " s3dlio.get(place + '/data.txt.zst', decompress='auto') == b'Hello World!'",
    ),
    Snippet(
        "0.7 compression",
        "options = s3dlio.PyWriterOptions()\n"
        "options.with_compression('zstd', 9)\n"
        "writer = s3dlio.create_filesystem_writer('{place}/data.txt', options)\n"
        "writer.write_chunk(b'Repetitive data! ' * 1000)\n"
        "stats = writer.finalize()",
        "stats[0] == 17000 and stats[1] < 1700 and s3dlio.stat(place + '/data.txt.zst')['size'] == stats[1]",
        stores=("file",),
    ),
    Snippet(
        "0.7 direct writer takes file URIs",
        "writer = s3dlio.create_direct_filesystem_writer(uri, options)\n"
        "writer.write_chunk(b'x' * 5000)\nwriter.finalize()",
        "s3dlio.get(uri) == b'x' * 5000",
        stores=("file", "direct"),
        given='uri = "{place}/object"; options = s3dlio.PyWriterOptions()',
    ),
    Snippet(
        "0.7 large files",
        "options = s3dlio.PyWriterOptions()\n"
        "options.with_compression('zstd', 6)\n"
        "options.with_buffer_size(16384)\n"
        "writer = s3dlio.create_filesystem_writer('{place}/large_file.txt', options)\n"
        "for chunk in large_data_source:\n    writer.write_chunk(chunk)\n"
        "stats = writer.finalize()\n"
        'print(f"Wrote {stats[0]} bytes, compressed to {stats[1]} bytes")',
        "printed.startswith('Wrote 100000 bytes, compressed to ')",
        stores=("file",),
        given="large_data_source = [b'y' * 1000] * 100",
    ),
    Snippet(
        "0.7 a writer for every scheme",
        "def create_writer_for_uri(uri):\n"
        "    options = s3dlio.PyWriterOptions()\n"
        "    options.with_compression('zstd', 6)\n"
        "    if uri.startswith('file://'):\n        return s3dlio.create_filesystem_writer(uri, options)\n"
        "    elif uri.startswith('az://'):\n        return s3dlio.create_azure_writer(uri, options)\n"
        "    elif uri.startswith('s3://'):\n        return s3dlio.create_s3_writer(uri, options)\n"
        "    else:\n"
        '        raise ValueError(f"Unsupported URI: {uri}")\n'
        "writer = create_writer_for_uri('{place}/object')\n"
        "writer.write_chunk(b'abc')\nwriter.finalize()",
        "s3dlio.get(place + '/object.zst', decompress=True) == b'abc'",
        stores=("file", "az", "s3"),
    ),
    Snippet(
        "0.7 aligned chunks",
        "def write_aligned_data(writer, data):\n"
        "    chunk_size = 4096\n"
        "    for i in range(0, len(data), chunk_size):\n"
        "        chunk = data[i:i + chunk_size]\n"
        "        if len(chunk) < chunk_size:\n"
        "            chunk += b'\\x00' * (chunk_size - len(chunk))\n"
        "        writer.write_chunk(chunk)\n"
        "writer = s3dlio.create_direct_filesystem_writer('{place}/aligned', s3dlio.PyWriterOptions())\n"
        "write_aligned_data(writer, b'z' * 5000)\n"
        "writer.finalize()",
        "s3dlio.get(place + '/aligned') == b'z' * 5000 + bytes(3192)",
        stores=("file", "direct"),
    ),
    Snippet(
        "0.7 an invalid URI",
        "try:\n"
        "    writer = s3dlio.create_filesystem_writer('invalid-uri', options)\n"
        "except RuntimeError as e:\n"
        '    print(f"Error: {e}")',
        "printed.startswith('Error: ')",
        stores=("file",),
        given="options = s3dlio.PyWriterOptions()",
    ),
    Snippet(
        "0.7 multipart writer",
        "writer = s3dlio.MultipartUploadWriter('bucket-name', 'object-key')",
        "writer.write(b'abc') == 3 and writer.close()['total_bytes'] == 3 and"
        " s3dlio.get('s3://bucket-name/object-key') == b'abc'",
        stores=("s3",),
        given="s3dlio.create_bucket('bucket-name')",
    ),
    *(
        Snippet(
            f"0.8 bulk put, {name}",
            "s3dlio.put(\n"
            '    prefix="{place}/object-{}.bin",\n    num=10,\n    template="obj-{}-of-{}",\n'
            f"    {options}\n)",
            "s3dlio.list(place + '/') == sorted(f'{place}/object-obj-{i}-of-10.bin' for i in range(10)) and"
            f" {{s3dlio.stat(uri)['size'] for uri in s3dlio.list(place + '/')}} == {{{size}}}",
        )
        for name, options, size in (
            ("default", "size=4194304,\n    max_in_flight=64", 4194304),
            ("streaming", 'size=4194304,\n    data_gen_mode="streaming",\n    chunk_size=262144', 4194304),
            ("single-pass", 'size=16777216,\n    data_gen_mode="single-pass",\n    chunk_size=65536', 16777216),
        )
    ),
]

TREES = [
    Snippet(
        "0.9 upload",
        's3dlio.upload(\n    local_dir="{local}/files/",\n    remote_uri="{place}/uploads/",\n    pattern="*.dat"\n)',
        "s3dlio.list(place + '/uploads/') == [place + '/uploads/a.dat', place + '/uploads/b.dat']",
        given="files('files', 'a.dat', 'b.dat', 'c.txt')",
    ),
    Snippet(
        "0.9 upload by position",
        's3dlio.upload("{local}/files/", "{place}/uploads/")',
        "len(s3dlio.list(place + '/uploads/', recursive=True)) == 3",
        given="files('files', 'a.dat', 'b.dat', 'c.txt')",
    ),
    Snippet(
        "0.9 download",
        "s3dlio.download(\n"
        '    remote_uri="{place}/downloads/",\n    local_dir="{local}/output/",\n    pattern="*.dat"\n)',
        "sorted(os.listdir(local + '/output')) == ['a.dat', 'b.dat']",
        objects={"downloads/a.dat": b"a", "downloads/b.dat": b"b", "downloads/c.txt": b"c"},
    ),
    Snippet(
        "0.7 upload and download",
        "s3dlio.upload(['local_file.txt'], '{place}/prefix/')\ns3dlio.download('{place}/prefix/', '{local}/dir/')",
        "os.listdir(local + '/dir') == ['local_file.txt'] and"
        " s3dlio.get(place + '/prefix/local_file.txt') == b'local_file.txt'",
        given='files(".", "local_file.txt")',
    ),
    Snippet(
        "0.8 operation log",
        's3dlio.init_op_log("{local}/my_operations.tsv.zst")\n'
        'if s3dlio.is_op_log_active():\n    print("Op-log is recording")\n'
        "s3dlio.upload(\n"
        '    src_patterns=["./data/*.dat"],\n    dest_prefix="{place}/output/",\n'
        "    max_in_flight=4,\n    create_bucket=False\n)\n"
        "s3dlio.download(\n"
        '    src_uri="{place}/output/",\n    dest_dir="./downloads/",\n    max_in_flight=4,\n    recursive=True\n)\n'
        "s3dlio.finalize_op_log()",
        "printed == 'Op-log is recording\\n' and not s3dlio.is_op_log_active() and"
        " {row['op'] for row in rows(local + '/my_operations.tsv.zst')} >= {'PUT', 'GET'} and"
        " sorted(os.listdir('downloads')) == ['a.dat', 'b.dat']",
        given="files('data', 'a.dat', 'b.dat', 'c.txt')",
    ),
    Snippet(
        "0.9 operation log",
        's3dlio.init_op_log("file://{local}/operations.log")\n'
        's3dlio.put("{place}/key", data)\n'
        's3dlio.get("{place}/key")\n'
        "s3dlio.finalize_op_log()\n"
        'if s3dlio.is_op_log_active():\n    print("Logging enabled")',
        "printed == '' and [row['op'] for row in rows(local + '/operations.log')] == ['PUT', 'GET']",
        given='data = b"content"',
    ),
]

BUCKETS = [
    Snippet(
        "0.9 buckets",
        's3dlio.create_bucket("my-new-bucket")\ns3dlio.delete_bucket("my-new-bucket")',
        stores=("s3",),
    ),
    Snippet(
        "buckets of every store",
        's3dlio.create_bucket("{place}-made")\ns3dlio.delete_bucket("{place}-made")',
    ),
    Snippet("0.9 logging", 's3dlio.init_logging("info")', stores=("file",)),
    Snippet("0.7 logging", "s3dlio.init_logging('info')\ns3dlio.init_logging('debug')", stores=("file",)),
    Snippet(
        "0.8 names",
        "get_func = getattr(s3dlio, 'get')\nput_func = getattr(s3dlio, 'put')\n"
        "list_func = getattr(s3dlio, 'list')\nstat_func = getattr(s3dlio, 'stat')",
        "all(map(callable, (get_func, put_func, list_func, stat_func)))",
        stores=("file",),
    ),
    Snippet("0.9 version", "print(s3dlio.__version__)", "printed[0].isdigit()", stores=("file",)),
]

SNIPPETS = [*READING, *WRITING, *TREES, *BUCKETS]
