"""Ask a Hugging Face hub, or a mirror of it, what a file is before fetching it.

huggingface_hub knows the hub's protocol: addresses, redirects within the hub and to its CDN, which
headers describe a file, where the token may go. It does not fetch the file: its downloader removes
what has arrived when it fails (2.4), and a download of gigabytes must go on from where it stopped,
in another process too (download.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from chatbot_ai.models.manifest import HubSource, ModelFileError
from chatbot_ai.models.retrying import (
    DownloadPolicy,
    build_client,
    raise_for_status,
    retry,
    translate_errors,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")


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

    The address is the hub's own: the one of its CDN expires, so each attempt asks for a new one.
    """
    # half a second of imports that only this needs
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, set_client_factory  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    name = f"{source.repo}/{source.file}"
    try:
        url = hf_hub_url(
            source.repo, source.file, revision=source.revision, endpoint=hub.endpoint.rstrip("/")
        )
    except HFValidationError as error:
        raise ModelFileError("unknown", name=name, known="owner/repo/file.gguf") from error

    def ask() -> HubFile:
        try:
            with translate_errors(url, name):
                # False: no token that other tools of this user have stored
                found = get_hf_file_metadata(
                    url, token=hub.token or False, timeout=policy.connect_s
                )
        except HfHubHTTPError as error:
            raise_for_status(error.response, name)
            raise
        etag = (found.etag or "").lower()
        return HubFile(url, found.size, etag if _SHA256.fullmatch(etag) else None)

    set_client_factory(lambda: build_client(policy, {}))  # trusts whom the download trusts
    return retry(ask, name=name, policy=policy, count_gained=lambda: 0)
