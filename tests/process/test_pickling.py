"""Public objects on their way to worker processes of every kind."""

from __future__ import annotations

import pytest
import s3dlio


def work(task):
    """Use what was sent, in a worker; what goes back was made there."""
    dataset, loader, options, view, error = task
    assert isinstance(view, s3dlio.BytesView)
    assert options.batch_size == 4
    assert (error.uri, error.record) == ("s3://b/k", 3)
    uris = dataset.uris()
    assert [uri for uri, _ in s3dlio.get_many(uris)] == uris
    batches = [[bytes(item) for item in batch] for batch in loader]
    return s3dlio.get(uris[0]), batches, dataset[-1], options


def fail(uri):
    s3dlio.get(uri)


@pytest.fixture(params=["file", "s3"])
def place(request, tmp_path):
    return f"file://{tmp_path}" if request.param == "file" else request.getfixturevalue("bucket")


def test_workers_of_every_kind_read(processes, place):
    uris = [f"{place}/{i}" for i in range(10)]
    s3dlio.put_many([(uri, uri.encode()) for uri in uris])
    options = s3dlio.LoaderOptions(batch_size=4, shuffle=True, seed=2)
    dataset = s3dlio.create_dataset(f"{place}/", options)
    loader = s3dlio.PyBytesAsyncDataLoader(dataset)
    error = s3dlio.NotFoundError("gone", uri="s3://b/k", record=3)
    task = (dataset, loader, options, s3dlio.get(uris[3]), error)
    with processes.Pool(2) as pool:
        results = pool.map_async(work, [task] * 4, chunksize=1).get(60)
        with pytest.raises(s3dlio.NotFoundError, match="missing") as caught:
            pool.apply_async(fail, [f"{place}/missing"]).get(60)
    assert caught.value.uri == f"{place}/missing"
    expected = [[bytes(item) for item in batch] for batch in loader]
    for first, batches, last, again in results:
        assert isinstance(first, s3dlio.BytesView)
        assert first == uris[0].encode()
        assert batches == expected
        assert last == uris[-1].encode()
        assert again == options
