"""The emulator of Azure is there, whole, and what other tests take it for."""

from __future__ import annotations

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobBlock


def test_objects_come_back(azurite):
    name = azurite.container().rpartition("/")[2]
    blob = azurite.client.get_blob_client(name, "dir/ü b%20c")
    blob.upload_blob(b"0123456789")
    assert blob.download_blob(offset=2, length=3).readall() == b"234"
    assert [found.name for found in azurite.client.get_container_client(name).list_blobs()] == ["dir/ü b%20c"]
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"other", overwrite=False)


def test_blocks_are_nothing_until_they_are_committed(azurite):
    name = azurite.container().rpartition("/")[2]
    blob = azurite.client.get_blob_client(name, "blocks")
    blob.stage_block("0001", b"abc")
    assert not blob.exists()
    blob.commit_block_list([BlobBlock("0001")])
    assert blob.download_blob().readall() == b"abc"
