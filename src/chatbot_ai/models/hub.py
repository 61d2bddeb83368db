"""Ask a Hugging Face hub, or a mirror of it, what a file is before fetching it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx2

from chatbot_ai.models.manifest import HubSource
from chatbot_ai.models.wire import (
    DownloadPolicy,
    http_client,
    raise_for_status,
    retry,
    translated,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_MOVES = 5


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub is and who asks: HF_ENDPOINT and HF_TOKEN of the hub's own tools."""

    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file as the hub describes it. `sha256` is None for a file that is not in its LFS store."""

    url: str
    size_bytes: int | None
    sha256: str | None


def describe(hub: Hub, source: HubSource, policy: DownloadPolicy) -> HubFile:
    """Return address, size and hash of a file. Raises ModelFileError.

    The hub answers HEAD /{repo}/resolve/{revision}/{file} with a redirect to its CDN that carries
    X-Linked-Size and X-Linked-Etag, the LFS object id, which is the SHA-256 of the content.
    Redirects within the hub (a renamed repository) are followed, the one to the CDN is not: its
    address expires, so each attempt asks for a new one.
    """
    path = f"{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    url = f"{hub.endpoint.rstrip('/')}/{path}"
    name = f"{source.repo}/{source.file}"

    def ask() -> HubFile:
        with translated(url, name), http_client(policy, hub.headers) as client:
            response = client.head(url)
            for _ in range(_MAX_MOVES):
                onward = response.next_request
                if (
                    onward is None
                    or _is_described(response)
                    or onward.url.host != (response.url.host)
                ):
                    break
                response = client.send(onward)
            raise_for_status(response, name)
            return _read(response)

    return retry(ask, name=name, policy=policy, gained=lambda: 0)


def _is_described(response: httpx2.Response) -> bool:
    return "X-Linked-Etag" in response.headers


def _read(response: httpx2.Response) -> HubFile:
    fields = response.headers
    etag = fields.get("X-Linked-Etag", fields.get("ETag", ""))
    size = fields.get("X-Linked-Size", "" if response.is_redirect else fields.get("Content-Length"))
    found = etag.removeprefix("W/").strip('"').lower()
    return HubFile(
        url=str(response.url),
        size_bytes=int(size) if size and size.isdecimal() else None,
        sha256=found if _SHA256.fullmatch(found) else None,
    )
