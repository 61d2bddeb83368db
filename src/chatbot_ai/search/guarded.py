"""How searches and pages reach the network: resolve, check every address of a page's host, connect
to exactly a checked one. A name is resolved anew for each connection, so an answer that changes
between check and use (DNS rebinding) changes nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpcore2

from chatbot_ai.domain.errors import ExchangeFailed, FetchRefused
from chatbot_ai.search.address import Address, AddressPolicy

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
        found = await loop.run_in_executor(self._threads, _lookup, host)
        return list(dict.fromkeys(found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _lookup(host: str) -> list[str]:
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(info[4][0]) for info in infos]


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
