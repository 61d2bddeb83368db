"""A TCP proxy that cuts its connections when a given text comes by, once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


class CuttingProxy:
    """Relays to `port`; `arm` makes the next server chunk with `mark` the last of all
    connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self._mark: bytes | None = None
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.cuts = 0

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    def arm(self, mark: bytes) -> None:
        self._mark = mark

    def run(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {caller, server}
                self._start(caller, server, False)
                self._start(server, caller, True)

    def stop(self) -> None:
        # a blocked accept ends by shutdown, not by close
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._cut()
        for thread in self._threads:
            thread.join(10)

    def _start(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        thread = threading.Thread(target=self._relay, args=(source, sink, answers), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _relay(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                sink.sendall(chunk)
                if answers and self._mark is not None and self._mark in chunk:
                    self._mark = None
                    self.cuts += 1
                    self._cut()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _cut(self) -> None:
        while self._open:
            end = self._open.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """A running proxy in front of `port`."""
    proxy = CuttingProxy(port)
    with closing(proxy._door):
        thread = threading.Thread(target=proxy.run, daemon=True)
        thread.start()
        yield proxy
        proxy.stop()
        thread.join(10)
