"""What a key is: its text, its fingerprint, its limits.

A key is 200 random bits written in base32: `cbk_` and 40 letters. The first eight letters are its
id, which lists and logs show; the other 160 bits are known to its holder alone.

Only the SHA-256 of a key is stored. A password hash (argon2) slows down the guessing of what
people choose; nobody guesses 160 random bits, and its cost would fall on every request. A keyed
hash would help only where somebody can write the file of keys but not read the hash's key; here
both would lie in the same folder, and who can write there owns the conversations too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from chatbot_ai.domain.errors import Unauthorized

KeyKind = Literal["backend", "user"]

PREFIX = "cbk_"
#: 25 bytes are 40 letters of base32 without padding.
RANDOM_BYTES = 25
ID_LENGTH = len(PREFIX) + 8
#: A whole key, wherever it stands in a text.
KEY_PATTERN = re.compile(rf"{PREFIX}[a-z2-7]{{40}}")
_NO_DIGEST = bytes(hashlib.sha256().digest_size)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use; None is no limit. The tokens are those of prompt and answer."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent: int | None = None

    @property
    def any(self) -> bool:
        return (self.requests_per_minute, self.tokens_per_day, self.concurrent) != (None,) * 3


@dataclass(frozen=True, slots=True)
class Key:
    """A stored key. Times are Unix seconds; a revoked key stays listed and is never admitted."""

    id: str
    digest: bytes = field(repr=False)
    name: str
    kind: KeyKind
    user_id: str | None
    limits: Limits
    created_at: float
    last_used_at: float | None = None
    revoked_at: float | None = None


def new_secret() -> str:
    """A fresh key, for its holder's eyes only."""
    return PREFIX + base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode().lower()


def read_id(secret: str) -> str:
    """The part of a key that may be shown."""
    return secret[:ID_LENGTH]


def hash_key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def is_key(secret: str, key: Key | None) -> bool:
    """Whether `secret` is that key and may be used; takes as long where there is no such key."""
    same = hmac.compare_digest(hash_key(secret), key.digest if key else _NO_DIGEST)
    return same and key is not None and key.revoked_at is None


def read_credential(headers: Mapping[str, str]) -> str | None:
    """The key of `Authorization: Bearer` or `X-API-Key`; None where neither is sent.

    Raises Unauthorized for two different keys and for a scheme other than Bearer, as it would be
    unclear which one the caller expects to be used.
    """
    authorization = headers.get("authorization", "").strip()
    found = [headers.get("x-api-key", "").strip()]
    if authorization:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("only the scheme Bearer is known")
        found.append(token.strip())
    sent = [key.encode("utf-8", "surrogatepass") for key in found if key]
    if len(sent) > 1 and not hmac.compare_digest(sent[0], sent[1]):
        raise Unauthorized("two keys that differ")
    return sent[0].decode("utf-8", "surrogatepass") if sent else None
