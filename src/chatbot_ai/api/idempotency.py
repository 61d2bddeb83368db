"""The Idempotency-Key header (IETF draft-ietf-httpapi-idempotency-key-header)."""

from __future__ import annotations

import hashlib
import json
import re

from fastapi import Request

from chatbot_ai.core.idempotency import Claim
from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.limits import IDEMPOTENCY_KEY_CHARS

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replayed": "true"}
_KEY = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS}}}")


async def read_claim(request: Request, owner: str, file: bytes | None = None) -> Claim | None:
    """What the caller wants to be answered once, None where it sent no key.

    The body counts as JSON: spaces and the order of names make no difference; instead of it the
    file that it brought, where it brought one. Raises InvalidRequest for a key of the wrong form.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(HEADER, "idempotency_key_form")
    if file is None:
        body = await request.body()
        said = json.dumps(json.loads(body), sort_keys=True) if body else ""
    else:
        said = hashlib.sha256(file).hexdigest()
    asked = (request.method, request.scope["path"], request.url.query, said)
    return Claim(owner, key, hashlib.sha256(repr(asked).encode()).hexdigest())
