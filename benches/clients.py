"""What is compared over object stores: one class for each client, with the same verbs.

Every reading verb touches each page of what it returns and yields its size, so that the caller counts.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from contestants import touch

IN_FLIGHT = 64

# The key of every Azure emulator, as Microsoft publishes it.
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# boto3 is slower with more.
BOTO_THREADS = 4


class Client(Protocol):
    """The verbs that are measured; keys are relative to the place that the client was made for."""

    def get(self, keys: list[str]) -> Iterator[int]:
        """One object after another."""
        ...

    def get_many(self, keys: list[str]) -> Iterator[int]:
        """Many objects, as many in flight as suits the client, all kept."""
        ...

    def put_many(self, keys: list[str], body: bytes) -> None:
        """The same body under many names."""
        ...

    def list(self, prefix: str) -> int:
        """Count what is below a prefix."""
        ...

    def write(self, key: str, chunks: Iterator[bytes]) -> None:
        """One object whose content comes in pieces."""
        ...


class S3dlio:
    """Ours."""

    def __init__(self, place: str) -> None:
        import s3dlio  # noqa: PLC0415 - only where it is measured

        self.s3dlio, self.place = s3dlio, place

    def get(self, keys: list[str]) -> Iterator[int]:
        for key in keys:
            yield touch(self.s3dlio.get(f"{self.place}/{key}"))

    def get_many(self, keys: list[str]) -> Iterator[int]:
        for _, view in self.s3dlio.get_many([f"{self.place}/{key}" for key in keys], max_in_flight=IN_FLIGHT):
            yield touch(view)

    def put_many(self, keys: list[str], body: bytes) -> None:
        self.s3dlio.put_many([(f"{self.place}/{key}", body) for key in keys], max_in_flight=IN_FLIGHT)

    def list(self, prefix: str) -> int:
        return len(self.s3dlio.list(f"{self.place}/{prefix}/", recursive=True))

    def write(self, key: str, chunks: Iterator[bytes]) -> None:
        with self.s3dlio.create_writer(f"{self.place}/{key}") as writer:
            for chunk in chunks:
                writer.write(chunk)


class Obstore:
    """obstore: its asynchronous verbs for many objects, its synchronous ones for one."""

    def __init__(self, place: str) -> None:
        import obstore  # noqa: PLC0415 - only where it is measured

        self.obstore, self.store = obstore, _obstore(place)

    def get(self, keys: list[str]) -> Iterator[int]:
        for key in keys:
            yield touch(self.store.get(key).bytes())

    def get_many(self, keys: list[str]) -> Iterator[int]:
        async def one(key: str) -> Any:
            return await (await self.store.get_async(key)).bytes_async()

        for body in asyncio.run(_each(one, keys)):
            yield touch(body)

    def put_many(self, keys: list[str], body: bytes) -> None:
        asyncio.run(_each(lambda key: self.store.put_async(key, body), keys))

    def list(self, prefix: str) -> int:
        return sum(len(page) for page in self.store.list(prefix, chunk_size=1000))

    def write(self, key: str, chunks: Iterator[bytes]) -> None:
        with self.obstore.open_writer(self.store, key, buffer_size=16 << 20) as writer:
            for chunk in chunks:
                writer.write(chunk)


def _obstore(place: str) -> Any:
    from obstore.store import AzureStore, GCSStore, LocalStore, S3Store  # noqa: PLC0415 - only where it is measured

    scheme, _, rest = place.partition("://")
    plain = {"allow_http": True}
    if scheme == "s3":
        endpoint = os.environ["AWS_ENDPOINT_URL_S3"]
        return S3Store(rest, endpoint=endpoint, client_options=plain, virtual_hosted_style_request=False)
    if scheme == "gs":
        account = {"gcs_base_url": os.environ["GCS_ENDPOINT_URL"], "disable_oauth": True}
        account |= {"client_email": "", "private_key": "", "private_key_id": ""}
        return GCSStore(rest, service_account_key=json.dumps(account), client_options=plain)
    if scheme == "az":
        account, container = rest.split("/")
        return AzureStore(
            container,
            account_name=account,
            account_key=EMULATOR_KEY,
            endpoint=f"{os.environ['AZURITE_BLOB_STORAGE_URL']}/{account}",
            client_options=plain,
        )
    return LocalStore(rest, mkdir=True)


async def _each(start: Any, keys: list[str]) -> list[Any]:
    turns = asyncio.Semaphore(IN_FLIGHT)

    async def one(key: str) -> Any:
        async with turns:
            return await start(key)

    return await asyncio.gather(*(one(key) for key in keys))


class Boto3:
    """boto3 with threads; its managed upload for large objects."""

    def __init__(self, place: str) -> None:
        import boto3  # noqa: PLC0415 - only where it is measured

        self.client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"])
        self.bucket = place.partition("://")[2]

    def _get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def get(self, keys: list[str]) -> Iterator[int]:
        for key in keys:
            yield touch(self._get(key))

    def get_many(self, keys: list[str]) -> Iterator[int]:
        with ThreadPoolExecutor(BOTO_THREADS) as pool:
            for body in [*pool.map(self._get, keys)]:
                yield touch(body)

    def put_many(self, keys: list[str], body: bytes) -> None:
        def put(key: str) -> None:
            self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

        with ThreadPoolExecutor(BOTO_THREADS) as pool:
            for _ in pool.map(put, keys):
                pass

    def list(self, prefix: str) -> int:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{prefix}/")
        return sum(page["KeyCount"] for page in pages)

    def write(self, key: str, chunks: Iterator[bytes]) -> None:
        self.client.upload_fileobj(_Stream(chunks), self.bucket, key)


class _Stream:
    """Chunks as the readable file that boto3 asks for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.rest = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self.rest) < size:
            chunk = next(self.chunks, b"")
            if not chunk:
                break
            self.rest += chunk
        size = len(self.rest) if size < 0 else size
        body, self.rest = self.rest[:size], self.rest[size:]
        return body


CLIENTS: dict[str, type[Client]] = {"s3dlio": S3dlio, "obstore": Obstore, "boto3": Boto3}
