"""A file system over the verbs of s3dlio."""

# fsspec ships no types.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import s3dlio
from fsspec import AbstractFileSystem
from fsspec.utils import stringify_path
from s3dlio.errors import AlreadyExistsError, NotFoundError, UnsupportedError

from s3dlio_fsspec.file import StoreFile

__all__ = ["StoreFileSystem"]


class StoreFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files of one kind of store. Endpoints and credentials are those of s3dlio: from the environment, at each call.

    A directory is there as long as anything is below it; local ones also when they are empty. Writes are whole or not
    there: a file appears when it is closed. Nothing is cached.
    """

    scheme: ClassVar[str]
    protocol: ClassVar[tuple[str, ...]]
    root_marker: ClassVar[str] = ""

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return a path without its scheme and without a slash at the end."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text: str = stringify_path(path)
        for name in cls.protocol:
            text = text.removeprefix(f"{name}://")
        if cls.root_marker:
            return os.path.normpath(os.path.join("/", text)) if text else "/"  # noqa: PTH118 - text, not a local path
        return text.strip("/")

    def _uri(self, path: str) -> str:
        return f"{self.scheme}://{self._strip_protocol(path)}"

    def _path(self, uri: str) -> str:
        return uri.removeprefix(f"{self.scheme}://").rstrip("/") or self.root_marker

    @property
    def _local(self) -> bool:
        return self.root_marker == "/"

    @property
    def fsid(self) -> str:
        """The name of the file system; what endpoint it means is up to the environment."""
        return f"s3dlio-{self.scheme}"

    def unstrip_protocol(self, name: str) -> str:
        """Return the URI of a path."""
        return self._uri(name)

    # What is there.

    def _file(self, path: str, stat: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "name": path,
            "size": stat["size"],
            "type": "file",
            "ETag": stat["etag"],
            "LastModified": datetime.fromisoformat(_microseconds(stat["last_modified"])),
        }

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return name, size and type of a file or directory."""
        path = self._strip_protocol(path)
        directory = {"name": path, "size": 0, "type": "directory"}
        if path == self.root_marker:
            return directory
        if not self._is_bucket(path):
            try:
                return self._file(path, s3dlio.stat(self._uri(path)))
            except UnsupportedError:
                return directory
            except NotFoundError:
                pass
        if not self._local and self._has_below(path):
            return directory
        raise FileNotFoundError(self._uri(path))

    def _is_bucket(self, path: str) -> bool:
        return not self._local and path.count("/") < (2 if self.scheme == "az" else 1)

    def _has_below(self, path: str) -> bool:
        try:
            if s3dlio.exists(f"{self._uri(path)}/"):
                return True
            # An empty bucket can be listed; one that is not there cannot.
            return self._is_bucket(path) and s3dlio.list(f"{self._uri(path)}/") == []
        except NotFoundError:
            return False

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """List a directory, or a file as itself."""
        path = self._strip_protocol(path)
        if self.info(path)["type"] == "file":
            return [self.info(path)] if detail else [path]
        found = s3dlio.list(f"{self._uri(path).rstrip('/')}/")
        if not detail:
            return [self._path(uri) for uri in found]
        return self._details(found)

    def _details(self, uris: Iterable[str]) -> list[dict[str, Any]]:
        found = [*uris]
        stats = iter(s3dlio.stat_many([uri for uri in found if not uri.endswith("/")]))
        return [
            {"name": self._path(uri), "size": 0, "type": "directory"}
            if uri.endswith("/")
            else self._file(self._path(uri), next(stats))
            for uri in found
        ]

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **options: Any
    ) -> Any:
        """List all files below a directory, by one recursive listing."""
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth=maxdepth, withdirs=withdirs, detail=detail, **options)
        path = self._strip_protocol(path)
        with contextlib.suppress(FileNotFoundError):
            if (info := self.info(path))["type"] == "file":
                return {path: info} if detail else [path]
        try:
            uris = s3dlio.list(f"{self._uri(path).rstrip('/')}/", recursive=True)
        except NotFoundError:
            uris = []
        if not detail:
            return [self._path(uri) for uri in uris]
        return {one["name"]: one for one in self._details(uris)}

    def created(self, path: str) -> datetime:
        """Return when a file was last replaced, which is when the object was made."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """Return when a file was last replaced."""
        info = self.info(path)
        if info["type"] == "directory":
            message = f"{self._uri(path)}: a directory has no time"
            raise IsADirectoryError(message)
        changed: datetime = info["LastModified"]
        return changed

    def ukey(self, path: str) -> str:
        """Return the entity tag of a file."""
        return str(self.info(path).get("ETag"))

    def invalidate_cache(self, path: str | None = None) -> None:
        """Do nothing more than fsspec asks for: there is no cache."""
        super().invalidate_cache(path)

    # Reading.

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return a file, or bytes of it; negative numbers count from its end."""
        uri = self._uri(path)
        if (start or 0) < 0 or (end or 0) < 0:
            size = s3dlio.stat(uri)["size"]
            start = max(start + size, 0) if start is not None and start < 0 else start
            end = max(end + size, 0) if end is not None and end < 0 else end
        begin = start or 0
        if end is not None and end <= begin:
            return b""
        return s3dlio.get(uri, offset=begin, length=None if end is None else end - begin).to_bytes()

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """Return one file, or a dict of many, which are then read at the same time."""
        paths = self.expand_path(path, recursive=recursive)
        several = len(paths) > 1 or isinstance(path, list) or paths[0] != self._strip_protocol(path)
        if not several or on_error != "raise" or options:
            return super().cat(path, recursive=recursive, on_error=on_error, **options)
        files = [one for one in paths if not (recursive and self.isdir(one))]
        found = s3dlio.get_many([self._uri(one) for one in files])
        return {name: view.to_bytes() for name, (_, view) in zip(files, found, strict=True)}

    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **options: Any) -> None:
        """Copy a file to a local one, which appears when it is complete."""
        if outfile is not None or self.isdir(rpath):
            super().get_file(rpath, lpath, **({"callback": callback} if callback else {}), outfile=outfile, **options)
            return
        local = os.path.abspath(stringify_path(lpath))  # noqa: PTH100 - as text
        os.makedirs(os.path.dirname(local), exist_ok=True)  # noqa: PTH103, PTH120
        s3dlio.copy(self._uri(rpath), f"file://{local}")
        _report(callback, os.path.getsize(local))  # noqa: PTH202

    # Writing.

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        """Write a file, whole or not at all."""
        try:
            s3dlio.put_bytes(self._uri(path), value, create_only=mode == "create")
        except AlreadyExistsError as error:
            raise FileExistsError(str(error)) from error

    def pipe(self, path: Any, value: Any = None, **options: Any) -> None:
        """Write one file, or those of a dict at the same time."""
        if isinstance(path, dict) and not options:
            s3dlio.put_many([(self._uri(name), content) for name, content in path.items()])
        else:
            super().pipe(path, value, **options)

    def put_file(self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **_: Any) -> None:
        """Copy a local file."""
        local = os.path.abspath(stringify_path(lpath))  # noqa: PTH100 - as text
        if os.path.isdir(local):  # noqa: PTH112
            self.makedirs(rpath, exist_ok=True)
            return
        if mode == "create" and self.exists(rpath):
            raise FileExistsError(self._uri(rpath))
        s3dlio.copy(f"file://{local}", self._uri(rpath))
        _report(callback, os.path.getsize(local))  # noqa: PTH202

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy a file; inside one bucket the store does it."""
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        s3dlio.copy(self._uri(path1), self._uri(path2))

    def touch(self, path: str, truncate: bool = True, **_: Any) -> None:
        """Make an empty file."""
        if not truncate and self.exists(path):
            message = f"{self._uri(path)}: times of objects cannot be changed"
            raise NotImplementedError(message)
        s3dlio.put_bytes(self._uri(path), b"")

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: Any = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **options: Any,
    ) -> StoreFile:
        if "a" in mode:
            message = f"{self._uri(path)}: objects cannot be appended to"
            raise UnsupportedError(message)
        size = None if mode != "rb" else self.info(path)
        if size is not None and size["type"] == "directory":
            raise IsADirectoryError(self._uri(path))
        if "x" in mode and self.exists(path):
            raise FileExistsError(self._uri(path))
        return StoreFile(
            self,
            path,
            mode,
            block_size or self.blocksize,
            autocommit,
            cache_options=cache_options,
            size=None if size is None else size["size"],
            **options,
        )

    # Directories and removal.

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a local directory, or a bucket; elsewhere there is nothing to do."""
        del create_parents
        path = self._strip_protocol(path)
        if self._local:
            if self.exists(path):
                raise FileExistsError(self._uri(path))
            s3dlio.mkdir(self._uri(path))
        elif self._is_bucket(path) and path and not self._has_below(path):
            s3dlio.create_bucket(self._uri(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a local directory and those above it; elsewhere there is nothing to do."""
        path = self._strip_protocol(path)
        if self._local and self.exists(path):
            if not exist_ok:
                raise FileExistsError(self._uri(path))
            return
        if self._local:
            s3dlio.mkdir(self._uri(path))

    def rmdir(self, path: str) -> None:
        """Remove an empty local directory, or an empty bucket; elsewhere there is nothing to do."""
        path = self._strip_protocol(path)
        if self._local or self._is_bucket(path):
            s3dlio.delete_bucket(self._uri(path))

    def _rm(self, path: str) -> None:
        uri = self._uri(path)
        if not s3dlio.exists(uri):
            raise FileNotFoundError(uri)
        s3dlio.delete(uri)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self._rm(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` directories with all that is below them."""
        paths = [path] if isinstance(path, str) else [*path]
        if maxdepth is not None or any("*" in one for one in paths):
            paths = self.expand_path(paths, recursive=recursive, maxdepth=maxdepth)
            s3dlio.delete([self._uri(one) for one in paths if self.isfile(one)])
            return
        for one in paths:
            if recursive and self.isdir(one):
                s3dlio.delete(self._uri(one), recursive=True)
            else:
                self._rm(one)


def _microseconds(text: str) -> str:
    """Return a time as Python 3.11 reads it: with at most six digits of a second."""
    head, dot, rest = text.partition(".")
    if not dot:
        return text
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[: min(digits, 6)].ljust(6, '0')}{rest[digits:]}"


def _report(callback: Any, size: int) -> None:
    if callback is not None:
        callback.set_size(size)
        callback.absolute_update(size)
