"""One bounded HTTP exchange over httpcore2: no cookies, no proxies from the environment, no
redirects, nothing logged, and never more than a given number of bytes in memory."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpcore2
import httpx2

from chatbot_ai.domain.errors import ExchangeFailed

#: wbits of zlib's inflate: 32 adds the automatic detection of gzip and zlib headers
#: (zlib manual, inflateInit2).
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


@contextmanager
def exchange_errors() -> Iterator[None]:
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


class Reply:
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

    async def read_beginning(self, limit_bytes: int) -> bytes:
        """Return the decompressed body, of a larger one its beginning. Raises ExchangeFailed."""
        body = BoundedBody(self.headers.get("content-encoding", "").strip().lower(), limit_bytes)
        try:
            with exchange_errors():
                async for chunk in self._response.aiter_stream():
                    body.feed(chunk)
            return body.finish()
        except ExchangeFailed as error:
            if error.reason != "too_large":
                raise
            return body.beginning

    async def read(self, limit_bytes: int) -> bytes:
        """Return the decompressed body. Raises ExchangeFailed."""
        body = BoundedBody(self.headers.get("content-encoding", "").strip().lower(), limit_bytes)
        announced = self.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:19]) > limit_bytes:
            raise ExchangeFailed("too_large")
        with exchange_errors():
            async for chunk in self._response.aiter_stream():
                body.feed(chunk)
        return body.finish()


def connection_pool(
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
) -> AsyncIterator[Reply]:
    """GET `url` and yield the reply when its head is there; the caller bounds the time.

    The parts of the parsed URL are handed over as they are; nothing parses the URL again.
    """
    target = httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    sent = [("Host", url.netloc.decode("ascii")), ("Accept-Encoding", "gzip"), *headers.items()]
    with exchange_errors():
        async with pool.stream("GET", target, headers=sent) as response:
            yield Reply(response)
