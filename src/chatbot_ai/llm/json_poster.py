"""The requests that a model's server answers, each on a connection of its own."""

from __future__ import annotations

import json
import socket
import struct
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import httpx2

#: Closing a connection ends it at once, with what is under way (socket(7), SO_LINGER of 0 s): the
#: server's very next write fails, not only the one after.
ABORTING_CLOSE = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def split_socket(address: str) -> tuple[str, str | None]:
    """The base URL and the socket file of `unix:/path`; any other address has no file."""
    if address.startswith("unix:"):
        return "http://localhost", address.removeprefix("unix:")
    return address, None


class JsonPoster:
    """Sends JSON to one address and gives the response as soon as its head is there.

    llama.cpp's server may close a connection right after a streamed reply in spite of its
    keep-alive header (8 of 60 immediate reuses failed), so every request takes a fresh one; and a
    compressed stream would come in lumps, not token by token.

    A transport without a client around it: redirects, cookies and rebuilt URLs are not
    wanted here and cost a sixth of the request.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        timeout: httpx2.Timeout,
        verify: bool,
        socket_file: str | None = None,
    ) -> None:
        self._url = httpx2.URL(url)
        self._headers = httpx2.Headers(
            {
                "Host": self._url.netloc.decode("ascii"),
                "User-Agent": "chatbot-ai",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
                "Content-Type": "application/json",
                **headers,
            }
        )
        if self._url.userinfo:
            # as a client would: what stands in the address goes before a key
            name_and_password = f"{self._url.username}:{self._url.password}".encode()
            self._headers["Authorization"] = f"Basic {b64encode(name_and_password).decode()}"
        self._timeout = timeout
        self._transport = httpx2.AsyncHTTPTransport(
            verify=verify,
            trust_env=False,
            uds=socket_file,
            limits=httpx2.Limits(max_keepalive_connections=0),
            socket_options=[ABORTING_CLOSE],
        )

    async def send(
        self, body: dict[str, Any], timeout: httpx2.Timeout | None = None
    ) -> httpx2.Response:
        """The response to `body`, not read yet; closing it is the caller's.

        Raises httpx2.RequestError, and ValueError for what JSON cannot say.
        """
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        request = httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=text.encode(),
            extensions={"timeout": (timeout or self._timeout).as_dict()},
        )
        return await self._transport.handle_async_request(request)

    async def close(self) -> None:
        await self._transport.aclose()
