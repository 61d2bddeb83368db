"""The key that a call carries, whichever header it came in."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from chatbot_ai.domain.errors import Unauthorized


def credential_of(headers: Mapping[str, str]) -> str | None:
    """The key of `Authorization: Bearer` or `X-API-Key`; None where neither is sent.

    Raises Unauthorized for two keys that differ and for another scheme than Bearer: whoever sends
    them expects something else to count than what would.
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
