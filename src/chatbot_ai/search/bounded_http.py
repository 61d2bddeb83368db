"""Bounded HTTP over httpcore2: how searches and pages reach the network.

A request carries no cookies, uses no proxy of the environment, follows no redirect, is not logged,
and its response never takes more than a given number of bytes in memory. Names are resolved in
threads of their own, once for each connection; for pages every address of a host is checked and
the connection goes to exactly a checked one, so an answer that changes between check and use (DNS
rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from ipaddress import ip_address

import httpcore2
import httpx2

from chatbot_ai.domain.errors import ExchangeFailed, FetchRefused
from chatbot_ai.search.address import Address, AddressPolicy

#: wbits of zlib's inflate: 32 adds the automatic detection of gzip and zlib headers
#: (zlib manual, inflateInit2).
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate everything that httpcore2 and the socket raise into ExchangeFailed."""
    try:
        yield
    except (TimeoutError, httpcore2.TimeoutException) as error:
        raise ExchangeFailed("timeout") from error
    except (httpcore2.NetworkError, httpcore2.ProxyError, OSError) as error:
        raise ExchangeFailed("network") from error
    except (
        httpcore2.ProtocolError,
        httpcore2.UnsupportedProtocol,
        httpcore2.ConnectionNotAvailable,
    ) as error:
        raise ExchangeFailed("protocol") from error


class BoundedBody:
    """Collects a body, decompressing as it comes, and refuses to hold more than `limit_bytes`.

    The limit holds for the bytes on the wire and for the decompressed ones; a compressed chunk is
    never inflated beyond it. Raises ExchangeFailed("too_large") or ("protocol").
    """

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise ExchangeFailed("protocol")
        self._inflate = (
            None if encoding in ("", "identity") else zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        )
        self._limit_bytes = limit_bytes
        self._wire_bytes = 0
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        self._wire_bytes += len(chunk)
        if self._inflate is None:
            self._body += chunk[: self._limit_bytes - len(self._body)]
        if self._wire_bytes > self._limit_bytes:
            raise ExchangeFailed("too_large")
        if self._inflate is None:
            return
        room = self._limit_bytes - len(self._body)
        try:
            self._body += self._inflate.decompress(chunk, room + 1)
        except zlib.error as error:
            raise ExchangeFailed("protocol") from error
        if len(self._body) > self._limit_bytes:
            raise ExchangeFailed("too_large")

    @property
    def beginning(self) -> bytes:
        """What is there so far, at most `limit_bytes`; also after "too_large"."""
        return bytes(self._body[: self._limit_bytes])

    def finish(self) -> bytes:
        if self._inflate is not None and self._wire_bytes and not self._inflate.eof:
            raise ExchangeFailed("protocol")
        return bytes(self._body)


class Response:
    """An answer whose head has arrived; `headers` has lower-case names, the first value of each."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        self.status = response.status
        self.headers: dict[str, str] = {}
        for name, value in response.headers:
            self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self, limit_bytes: int, *, whole: bool = True) -> bytes:
        """Return the decompressed body. Raises ExchangeFailed, also for a larger one, of which the
        beginning is returned where it need not be `whole`."""
        body = BoundedBody(self.headers.get("content-encoding", "").strip().lower(), limit_bytes)
        announced = self.headers.get("content-length", "")
        is_number = announced.isascii() and announced.isdigit()
        if whole and is_number and int(announced[:19]) > limit_bytes:
            raise ExchangeFailed("too_large")
        try:
            with translate_errors():
                async for chunk in self._response.aiter_stream():
                    body.feed(chunk)
            return body.finish()
        except ExchangeFailed as error:
            if whole or error.reason != "too_large":
                raise
            return body.beginning


def build_pool(
    *,
    backend: httpcore2.AsyncNetworkBackend | None = None,
    ssl_context: ssl.SSLContext | None = None,
    max_connections: int = 20,
) -> httpcore2.AsyncConnectionPool:
    """Build a pool that speaks HTTP/1.1, verifies certificates and keeps idle connections 5 s."""
    return httpcore2.AsyncConnectionPool(
        ssl_context=ssl_context or httpcore2.default_ssl_context(),
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=5.0,
        network_backend=backend,
    )


@asynccontextmanager
async def exchange(
    pool: httpcore2.AsyncConnectionPool, url: httpx2.URL, headers: Mapping[str, str]
) -> AsyncIterator[Response]:
    """GET `url` and yield the reply when its head is there; the caller bounds the time.

    The parts of the parsed URL are handed over as they are; nothing parses the URL again.
    """
    target = httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    sent = [("Host", url.netloc.decode("ascii")), ("Accept-Encoding", "gzip"), *headers.items()]
    with translate_errors():
        async with pool.stream("GET", target, headers=sent) as response:
            yield Response(response)


#: Takes a host name, returns its addresses as text; raises OSError where there is none.
Resolver = Callable[[str], Awaitable[Sequence[str]]]

_MAX_ADDRESSES = 16


class SystemResolver:
    """The machine's own name resolution, in at most `threads` threads of its own.

    A name server that hangs can fill these threads, and never those that others wait for.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="search-names")

    async def __call__(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        look_up = partial(
            socket.getaddrinfo, host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        found = await loop.run_in_executor(self._threads, look_up)
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class ResolvingBackend(httpcore2.AsyncNetworkBackend):
    """Connects for httpcore2, by a name resolution that is not the event loop's own: a name server
    that hangs holds up nothing else. The URL keeps its host name, so Host, SNI and the certificate
    check are those of the name."""

    def __init__(self, resolve: Resolver, *, attempt_s: float = 2.0) -> None:
        self._resolve = resolve
        self._attempt_s = attempt_s
        self._network = httpcore2.AnyIOBackend()

    def check(self, addresses: Sequence[Address], port: int) -> None:
        """Raise FetchRefused where one of `addresses` must not be connected to. Any may be."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of `host` that answers. Raises FetchRefused."""
        addresses = await self._addresses(host)
        self.check(addresses, port)
        attempt_s = self._attempt_s if timeout is None else min(timeout, self._attempt_s)
        failure: Exception | None = None
        for address in sorted(addresses, key=lambda item: item.version):
            try:
                return await self._network.connect_tcp(
                    str(address), port, timeout=attempt_s, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise ExchangeFailed("network") from failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise FetchRefused("address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            found = await self._resolve(host)
            addresses = [ip_address(text) for text in found]
        except OSError as error:
            raise ExchangeFailed("network") from error
        except ValueError as error:  # an answer that is no address, or has a malformed scope
            raise FetchRefused("address") from error
        if not addresses:
            raise ExchangeFailed("network")
        if len(addresses) > _MAX_ADDRESSES:
            raise FetchRefused("address")
        return addresses


class GuardedBackend(ResolvingBackend):
    """The same, to no address but those that pass the policy: the socket goes to the very address
    that was checked."""

    def __init__(self, policy: AddressPolicy, resolve: Resolver, *, attempt_s: float = 1.0) -> None:
        super().__init__(resolve, attempt_s=attempt_s)
        self._policy = policy

    def check(self, addresses: Sequence[Address], port: int) -> None:
        """Raise FetchRefused if any address is refused: a name that mixes public and private
        addresses means no good."""
        for address in addresses:
            self._policy.check(address, port)
