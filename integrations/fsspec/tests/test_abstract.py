"""fsspec's own test-suite, over local files and S3."""

from __future__ import annotations

import fsspec
import pytest
from fsspec.tests import abstract


class _File(abstract.AbstractFixtures):
    @pytest.fixture
    def fs(self):
        return fsspec.filesystem("s3dlio+file")

    @pytest.fixture
    def fs_path(self, tmp_path):
        return str(tmp_path / "remote")


class _S3(abstract.AbstractFixtures):
    # The server of the testkit: there are hundreds of tests, and it answers ten times as fast as others.
    @pytest.fixture
    def fs(self, testkit):  # noqa: ARG002 - it leads s3:// to its server
        return fsspec.filesystem("s3dlio+s3")

    @pytest.fixture
    def fs_path(self, testkit):
        return f"{testkit.bucket().removeprefix('s3://')}/remote"

    @pytest.fixture
    def supports_empty_directories(self):
        return False


class TestFileCopy(abstract.AbstractCopyTests, _File):
    pass


class TestFileGet(abstract.AbstractGetTests, _File):
    pass


class TestFilePut(abstract.AbstractPutTests, _File):
    pass


class TestFilePipe(abstract.AbstractPipeTests, _File):
    pass


class TestFileOpen(abstract.AbstractOpenTests, _File):
    pass


class TestS3Copy(abstract.AbstractCopyTests, _S3):
    pass


class TestS3Get(abstract.AbstractGetTests, _S3):
    pass


class TestS3Put(abstract.AbstractPutTests, _S3):
    pass


class TestS3Pipe(abstract.AbstractPipeTests, _S3):
    pass


class TestS3Open(abstract.AbstractOpenTests, _S3):
    pass
