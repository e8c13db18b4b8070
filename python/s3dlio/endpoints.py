"""One store behind several endpoints: requests go to them in turn, or to the one with the fewest under way."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from s3dlio import _s3dlio, storage
from s3dlio.errors import ConfigError, InvalidUriError

if TYPE_CHECKING:
    import builtins

    from typing_extensions import Buffer

    from s3dlio._s3dlio import BytesView

__all__ = [
    "EndpointStats",
    "MultiEndpointStore",
    "TotalStats",
    "create_multi_endpoint_store",
    "create_multi_endpoint_store_from_file",
    "create_multi_endpoint_store_from_template",
    "expand_template",
]

STRATEGIES = ("round_robin", "least_connections")

_RANGE = re.compile(r"\{(\d+)\.\.\.(\d+)\}")

# More endpoints than any cluster has; beyond lies a typing error.
_MOST = 10_000


class TotalStats(TypedDict):
    """What went through endpoints since their store was made."""

    total_requests: int
    bytes_read: int
    bytes_written: int
    active_requests: int
    error_count: int


class EndpointStats(TotalStats):
    """The same of one endpoint."""

    uri: str


def expand_template(template: str) -> list[str]:
    """Return the texts that a template stands for: ``{1...8}`` is each number in turn, ``{01...08}`` with its zeros.

    Raises:
        ConfigError: A range runs backwards, or there would be more than 10,000 texts.
    """
    ranges = [(match[1], int(match[1]), int(match[2])) for match in _RANGE.finditer(template)]
    count = 1
    for _, first, last in ranges:
        count *= max(last - first + 1, 0)
    if not 0 < count <= _MOST:
        raise ConfigError(f"option `template`: found {template!r} for {count} endpoints, expected 1 to {_MOST}")
    fixed = _RANGE.split(template)[::3]
    numbers = [[str(number).zfill(len(text)) for number in range(first, last + 1)] for text, first, last in ranges]
    pairs = (zip(fixed, (*chosen, ""), strict=True) for chosen in itertools.product(*numbers))
    return ["".join(itertools.chain.from_iterable(pair)) for pair in pairs]


@dataclass
class _Endpoint:
    """One endpoint: ``root`` with a slash at the end, and what went through it."""

    uri: str
    root: str
    # The same place without the host: `s3://bucket/`, or `s3://` for a server with any bucket.
    shared: str | None
    figures: TotalStats = field(
        default_factory=lambda: TotalStats(
            total_requests=0, bytes_read=0, bytes_written=0, active_requests=0, error_count=0
        )
    )


def _endpoint(uri: str) -> _Endpoint:
    server = re.fullmatch(r"http://([^/]+:\d+)/?", uri)
    if server:
        return _Endpoint(uri, f"s3://{server[1]}/", "s3://")
    if uri.startswith(("http://", "https://")):
        raise InvalidUriError(f"{uri}: expected http://host:port of a server, or a URI of a store", uri=uri)
    root, key = _s3dlio.split_uri(uri)
    prefix = root + key if key.endswith("/") or not key else f"{root}{key}/"
    host = re.fullmatch(r"s3://[^/]*:\d+/(.+)", prefix)
    return _Endpoint(uri, prefix, f"s3://{host[1]}" if host else None)


class MultiEndpointStore:
    """Several endpoints of one data set, taken in turn (``round_robin``) or by load (``least_connections``).

    An endpoint is a place in a store (``s3://10.0.0.1:9000/bucket``, ``file:///mnt/a``) or an S3 server
    (``http://10.0.0.1:9000``). What is asked for is balanced over those that can have it:

    - a key (``train/0``) below any endpoint; of servers it begins with the bucket,
    - a URI without a host (``s3://bucket/train/0``), where endpoints are hosts with that bucket.

    A URI below an endpoint itself names an object of that endpoint, and no other is asked. The verbs are coroutines; an
    error is that of the endpoint that was asked, it is not tried again at another.

    Args:
        uris: The endpoints, all of one scheme.
        strategy: ``round_robin`` or ``least_connections``.

    Raises:
        ConfigError: No endpoint, endpoints of several schemes, or another strategy.
        InvalidUriError: One is no URI.
    """

    def __init__(self, uris: Iterable[str], strategy: str = "round_robin") -> None:
        self._endpoints = [_endpoint(uri) for uri in uris]
        if not self._endpoints:
            raise ConfigError("option `uris`: found no endpoint, expected at least one")
        schemes = sorted({endpoint.root.partition("://")[0] for endpoint in self._endpoints})
        if len(schemes) > 1:
            raise ConfigError(f"option `uris`: found endpoints of {', '.join(schemes)}, expected one scheme")
        if strategy not in STRATEGIES:
            raise ConfigError(f"option `strategy`: found {strategy!r}, expected one of {STRATEGIES}")
        self._strategy = strategy
        self._turn = 0
        # Event loops of several threads may share a store.
        self._lock = threading.Lock()

    def endpoint_count(self) -> int:
        """Return the number of endpoints."""
        return len(self._endpoints)

    def strategy(self) -> str:
        """Return how an endpoint is chosen."""
        return self._strategy

    def _places(self, uri: str) -> list[tuple[_Endpoint, str]]:
        """Return the endpoints that can have what is asked for, each with its URI there."""
        if "://" not in uri:
            key = uri.lstrip("/")
            return [(endpoint, endpoint.root + key) for endpoint in self._endpoints]
        own = [endpoint for endpoint in self._endpoints if f"{uri}/".startswith(endpoint.root)]
        if own:
            return [(max(own, key=lambda endpoint: len(endpoint.root)), uri)]
        return [
            (endpoint, endpoint.root + uri[len(endpoint.shared) :])
            for endpoint in self._endpoints
            if endpoint.shared is not None and f"{uri}/".startswith(endpoint.shared)
        ]

    def _choose(self, uri: str) -> tuple[_Endpoint, str]:
        places = self._places(uri)
        if not places:
            names = ", ".join(endpoint.uri for endpoint in self._endpoints)
            raise InvalidUriError(f"{uri}: below none of the endpoints ({names})", uri=uri)
        turn, self._turn = self._turn, self._turn + 1
        turn %= len(places)
        # In turn among equals.
        places = places[turn:] + places[:turn]
        if self._strategy == "least_connections":
            return min(places, key=lambda place: place[0].figures["active_requests"])
        return places[0]

    @asynccontextmanager
    async def _request(self, uri: str) -> AsyncGenerator[tuple[TotalStats, str]]:
        with self._lock:
            endpoint, place = self._choose(uri)
            figures = endpoint.figures
            figures["total_requests"] += 1
            figures["active_requests"] += 1
        try:
            yield figures, place
        except BaseException:
            with self._lock:
                figures["error_count"] += 1
            raise
        finally:
            with self._lock:
                figures["active_requests"] -= 1

    async def get(self, uri: str) -> BytesView:
        """Read an object; see :func:`s3dlio.get`."""
        async with self._request(uri) as (figures, place):
            data = await storage.get_async(place)
            return self._read(figures, data)

    async def get_range(self, uri: str, offset: int, length: int | None = None) -> BytesView:
        """Read ``length`` bytes (to the end if ``None``) from ``offset``; see :func:`s3dlio.get_range`."""
        async with self._request(uri) as (figures, place):
            data = await storage.get_range_async(place, offset, length)
            return self._read(figures, data)

    def _read(self, figures: TotalStats, data: BytesView) -> BytesView:
        with self._lock:
            figures["bytes_read"] += len(data)
        return data

    async def put(self, uri: str, data: Buffer) -> None:
        """Write an object, at one endpoint; see :func:`s3dlio.put_bytes`."""
        async with self._request(uri) as (figures, place):
            await storage.put_bytes_async(place, data)
            with self._lock:
                figures["bytes_written"] += memoryview(data).nbytes

    async def list(self, uri: str = "", recursive: bool = False) -> builtins.list[str]:
        """List what is below a URI or key at one endpoint, as URIs of that endpoint; see :func:`s3dlio.list`."""
        async with self._request(uri) as (_, place):
            return await storage.list_async(place, recursive)

    async def delete(self, uri: str) -> None:
        """Remove an object at one endpoint; see :func:`s3dlio.delete`."""
        async with self._request(uri) as (_, place):
            await storage.delete_async(place)

    def get_endpoint_stats(self) -> builtins.list[EndpointStats]:
        """Return what went through each endpoint."""
        with self._lock:
            return [EndpointStats(uri=endpoint.uri, **endpoint.figures) for endpoint in self._endpoints]

    def get_total_stats(self) -> TotalStats:
        """Return what went through all endpoints together."""
        every = self.get_endpoint_stats()
        return TotalStats(
            total_requests=sum(one["total_requests"] for one in every),
            bytes_read=sum(one["bytes_read"] for one in every),
            bytes_written=sum(one["bytes_written"] for one in every),
            active_requests=sum(one["active_requests"] for one in every),
            error_count=sum(one["error_count"] for one in every),
        )

    def get_stats(self) -> TotalStats:
        """As :meth:`get_total_stats`."""
        return self.get_total_stats()

    def __reduce__(self) -> tuple[Callable[..., MultiEndpointStore], tuple[builtins.list[str], str]]:
        return MultiEndpointStore, ([endpoint.uri for endpoint in self._endpoints], self._strategy)

    def __repr__(self) -> str:
        return f"MultiEndpointStore({self.endpoint_count()} endpoints, first {self._endpoints[0].uri!r})"


def create_multi_endpoint_store(uris: Sequence[str] | None = None, strategy: str = "round_robin") -> MultiEndpointStore:
    """Make a store of several endpoints; see :class:`MultiEndpointStore`.

    Args:
        uris: The endpoints; each may be a template as of :func:`expand_template`. None takes those of the variable
            ``S3_ENDPOINT_URIS``, separated by commas.
        strategy: ``round_robin`` or ``least_connections``.

    Raises:
        ConfigError, InvalidUriError: As :class:`MultiEndpointStore`; neither ``uris`` nor the variable is there.
    """
    if uris is None:
        text = os.environ.get("S3_ENDPOINT_URIS", "")
        uris = [uri.strip() for uri in text.split(",") if uri.strip()]
        if not uris:
            raise ConfigError("option `uris`: found None and no S3_ENDPOINT_URIS, expected endpoints in one of them")
    if isinstance(uris, str):
        raise TypeError("`uris` is a sequence of URIs: for one text there is create_multi_endpoint_store_from_template")
    return MultiEndpointStore([uri for template in uris for uri in expand_template(template)], strategy)


def create_multi_endpoint_store_from_template(uri_template: str, strategy: str = "round_robin") -> MultiEndpointStore:
    """As :func:`create_multi_endpoint_store`, of the endpoints that one template stands for."""
    return create_multi_endpoint_store([uri_template], strategy)


def create_multi_endpoint_store_from_file(
    file_path: str | os.PathLike[str], strategy: str = "round_robin"
) -> MultiEndpointStore:
    """As :func:`create_multi_endpoint_store`, of a text file with one URI on a line; ``#`` begins a comment."""
    lines = (line.strip() for line in Path(file_path).read_text(encoding="utf-8").splitlines())
    return create_multi_endpoint_store([line for line in lines if line and not line.startswith("#")], strategy)
