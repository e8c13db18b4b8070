"""DLIO's view of a store."""

# DLIO ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import posixpath
from typing import Any

import s3dlio
from dlio_benchmark.common.enumerations import MetadataType, NamespaceType
from dlio_benchmark.storage.storage_handler import DataStorage, Namespace

__all__ = ["Storage"]


class Storage(DataStorage):  # type: ignore[misc]
    """The place that ``storage_root`` names by a URI; DLIO's ids are paths below it."""

    def __init__(self, namespace: str, framework: Any = None) -> None:
        # The framework would only be asked whether it has file access of its own, which this replaces.
        _ = framework
        super().__init__(None)
        self.namespace = Namespace(namespace.rstrip("/"), NamespaceType.FLAT)

    def get_uri(self, id: str) -> str:  # noqa: A002 - DLIO's name
        """Return the URI of an id; URIs are ids too."""
        if "://" in id:
            return id
        path = posixpath.normpath(id).strip("/")
        return self.namespace.name if path == "." else f"{self.namespace.name}/{path}"

    def create_namespace(self, exist_ok: bool = False) -> bool:
        """Make the directory that is the root; a network store has none, and its bucket is there already."""
        return self.create_node("", exist_ok)

    def get_namespace(self) -> str:
        """Return the URI of the root."""
        return str(self.namespace.name)

    def create_node(self, id: str, exist_ok: bool = False) -> bool:  # noqa: A002 - likewise
        """Make a directory; nothing to do in a network store."""
        _ = exist_ok
        s3dlio.mkdir(self.get_uri(id))
        return True

    def get_node(self, id: str = "") -> Any:  # noqa: A002 - likewise
        """Return whether an id is a file or a directory, or None."""
        uri = self.get_uri(id)
        if s3dlio.exists(f"{uri}/"):
            return MetadataType.DIRECTORY
        return MetadataType.FILE if s3dlio.exists(uri) else None

    def walk_node(self, id: str, use_pattern: bool = False) -> list[str]:  # noqa: A002 - likewise
        """Return the names one level below a directory, or the URIs that a pattern fits."""
        uri = self.get_uri(id)
        if use_pattern:
            return s3dlio.list(uri, recursive=True)
        return [one.rstrip("/").rpartition("/")[2] for one in s3dlio.list(f"{uri}/")]

    def delete_node(self, id: str) -> bool:  # noqa: A002 - likewise
        """Remove everything below a directory."""
        s3dlio.delete(self.get_uri(id), recursive=True)
        return True

    def put_data(self, id: str, data: Any, offset: int | None = None, length: int | None = None) -> None:  # noqa: A002
        """Write an object of bytes or text.

        Raises:
            UnsupportedError: ``offset`` is given: objects are written whole.
        """
        if offset:
            raise s3dlio.UnsupportedError(f"{self.get_uri(id)}: an object is written whole, found offset={offset}")
        content = data.encode() if isinstance(data, str) else data
        s3dlio.put_bytes(self.get_uri(id), content if length is None else memoryview(content)[:length])

    def get_data(self, id: str, data: Any = None, offset: int | None = None, length: int | None = None) -> Any:  # noqa: A002
        """Read an object, or a range of it."""
        _ = data
        return s3dlio.get(self.get_uri(id), offset=offset, length=length)

    def get_basename(self, id: str) -> str:  # noqa: A002 - likewise
        """Return the last segment of an id."""
        return posixpath.basename(id)
