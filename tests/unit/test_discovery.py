"""How the objects of a data set are found: listings, indexes, manifests, templates, and what they cost."""

from __future__ import annotations

import json
import pickle

import pytest
import s3dlio
from s3dlio.errors import AlreadyExistsError, ConfigError, CorruptDataError, InvalidUriError, NotFoundError
from s3dlio.torch import Loader

from tests.fixtures.programs import run


def write(base: str, names: list[str]) -> list[str]:
    s3dlio.put_many([(f"{base}/{name}", name.encode()) for name in names])
    return [f"{base}/{name}" for name in names]


def operations(testkit) -> dict[str, int]:
    return testkit.counts()["operations"]


def test_folders_of_a_long_listing_are_listed_side_by_side(testkit):
    base = f"{testkit.bucket()}/train"
    uris = write(base, [f"class-{folder}/{number:04}" for folder in range(5) for number in range(1200)])
    uris += write(base, ["class-1.txt", "notes"])
    testkit.reset()
    dataset = s3dlio.PyDataset(f"{base}/")
    assert dataset.uris() == sorted(uris)
    # Four pages, the folders, and two pages of each of the two folders that were left; sizes came along.
    assert operations(testkit) == {"ListObjectsV2": 9}
    assert [dataset.objects.size(index) for index in (0, 6001)] == [12, 5]
    assert dataset[1] == b"class-0/0001"
    assert operations(testkit) == {"ListObjectsV2": 9, "GetObject": 1}


def test_a_flat_listing_costs_its_pages(testkit):
    base = testkit.synthetic(7500, prefix="train/", digits=5)
    testkit.reset()
    assert len(s3dlio.PyDataset(f"{base}/train/")) == 7500
    assert operations(testkit) == {"ListObjectsV2": 8}


def test_folders_with_few_objects_each_are_not_listed_one_by_one(testkit):
    base = f"{testkit.bucket()}/train"
    uris = write(base, [f"{folder:04}/{number}" for folder in range(500) for number in range(10)])
    testkit.reset()
    assert s3dlio.PyDataset(f"{base}/").uris() == uris
    assert operations(testkit) == {"ListObjectsV2": 5}


def test_an_index_saves_the_listing(testkit):
    bucket = testkit.bucket()
    base = f"{bucket}/train"
    uris = write(base, [f"{number:02}" for number in range(40)])
    index = f"{bucket}/indexes/train"
    first = s3dlio.PyDataset(f"{base}/", index=index)
    testkit.reset()
    second = s3dlio.create_dataset(f"{base}/", index=index)
    assert second.uris() == first.uris() == uris
    assert second.objects.fingerprint == first.objects.fingerprint
    assert "ListObjectsV2" not in operations(testkit)
    # The index itself, and eight objects that are looked at.
    assert operations(testkit) == {"GetObject": 1, "HeadObject": 8}
    assert [*second] == [uri[-2:].encode() for uri in uris]
    s3dlio.delete(uris[0])
    assert s3dlio.PyDataset(f"{base}/", index=index).uris() == uris[1:]


def test_an_index_of_files(tmp_path):
    base = f"file://{tmp_path}/data"
    uris = write(base, ["a", "b", "c"])
    index = tmp_path / "index"
    assert s3dlio.PyDataset(f"{base}/", index=index).uris() == uris
    write(base, ["ab"])
    # Nobody looks for what came since ...
    assert s3dlio.PyDataset(f"{base}/", index=index).uris() == uris
    # ... before the index is gone.
    index.unlink()
    assert len(s3dlio.PyDataset(f"{base}/", index=index)) == 4
    index.write_bytes(b"precious")
    with pytest.raises(AlreadyExistsError, match="index"):
        s3dlio.PyDataset(f"{base}/", index=index)
    assert index.read_bytes() == b"precious"
    with pytest.raises(ConfigError, match="outside"):
        s3dlio.PyDataset(f"{base}/", index=f"{base}/index")
    for wrong in ({"format": "tfrecord"}, {"format": "auto"}):
        with pytest.raises(ConfigError, match="index"):
            s3dlio.PyDataset(f"{base}/", index=index, **wrong)
    with pytest.raises(ConfigError, match="index"):
        s3dlio.PyDataset(uris, index=index)


def test_a_manifest_is_a_data_set(testkit, tmp_path):
    bucket = testkit.bucket()
    write(f"{bucket}/train", ["a", "b"])
    lines = ["# two of them", "b", json.dumps({"uri": f"{bucket}/train/a", "size": 1, "label": 7}), ""]
    s3dlio.put_bytes(f"{bucket}/train/list.jsonl", "\n".join(lines).encode())
    testkit.reset()
    dataset = s3dlio.PyDataset.from_manifest(f"{bucket}/train/list.jsonl", {"num_workers": 3})
    assert operations(testkit) == {"HeadObject": 1, "GetObject": 1}
    assert dataset.options.num_workers == 3
    assert [bytes(item) for item in dataset] == [b"b", b"a"]
    assert pickle.loads(pickle.dumps(dataset)).uris() == [f"{bucket}/train/b", f"{bucket}/train/a"]
    (tmp_path / "list").write_text("one\tmany\n")
    with pytest.raises(CorruptDataError, match='line 1: found "many"'):
        s3dlio.PyDataset.from_manifest(tmp_path / "list")
    with pytest.raises(NotFoundError):
        s3dlio.PyDataset.from_manifest(tmp_path / "none")


def test_a_template_is_a_data_set_without_a_request(testkit):
    bucket = testkit.bucket()
    write(f"{bucket}/train", [f"img-{number:06}.bin" for number in range(3, 9)])
    testkit.reset()
    dataset = s3dlio.PyDataset.from_template(f"{bucket}/train/img-{{:06}}.bin", 6, start=3, size=14)
    assert operations(testkit) == {}
    assert dataset.uris()[5] == f"{bucket}/train/img-000008.bin"
    assert [bytes(item) for item in dataset] == [f"img-{number:06}.bin".encode() for number in range(3, 9)]
    assert operations(testkit) == {"GetObject": 6}
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.objects.fingerprint == dataset.objects.fingerprint
    assert copy[-1] == b"img-000008.bin"
    loader = Loader(copy, batch_size=2, rank=0, world_size=1, shuffle=True)
    assert len(loader) == 3
    assert s3dlio.PyDataset.from_template("s3://b/{:012}", 1 << 40).objects.nbytes < 1000
    for template in ("s3://b/none", "s3://b/{}{}", "s3://b/{:d}"):
        with pytest.raises(ConfigError, match="template"):
            s3dlio.PyDataset.from_template(template, 3)
    with pytest.raises(ConfigError, match="count"):
        s3dlio.PyDataset.from_template("s3://b/{}", 0)
    with pytest.raises(InvalidUriError):
        s3dlio.PyDataset.from_template("nothing://b/{}", 1)


MANY = """
    import itertools, sys, psutil, s3dlio
    me = psutil.Process()
    count = 1_000_000
    warm = len(s3dlio.PyDataset.from_uris(f"s3://bucket/train/{n:09}.bin" for n in range(20_000)))
    before = me.memory_info().rss
    if sys.argv[1] == "uris":
        dataset = s3dlio.PyDataset.from_uris(f"s3://bucket/train/{n:09}.bin" for n in range(count))
    else:
        dataset = s3dlio.PyDataset(sys.argv[1])
    grown = me.memory_info().rss - before
    assert len(dataset) == count
    assert dataset.objects.uri(count - 1).endswith("train/000999999.bin")
    assert dataset.objects.nbytes < 16 * count, dataset.objects.nbytes
    print(grown)
"""


@pytest.mark.parametrize("how", ["uris", "listing"])
def test_a_million_names_are_kept_in_few_bytes_each(testkit, how):
    """Ten times as many take ten times as much: with 60 bytes for each, ten million stay below 600 MiB."""
    place = f"{testkit.synthetic(1_000_000, prefix='train/', digits=9, suffix='.bin', size=1)}/train/"
    grown = int(run(MANY, "uris" if how == "uris" else place, timeout=60))
    assert grown < 60 * 1_000_000, grown
