"""How a MongoDB server is named, and what its failures mean."""

from __future__ import annotations

from urllib.parse import quote_plus

from bson.errors import BSONError
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from chatbot_ai.domain.errors import ConfigurationError, StoreUnavailable

#: All that the driver raises for a server's or a network's failure.
FAILURES = (PyMongoError, BSONError, OSError, OverflowError)
#: Server error codes. Source: MongoDB's error_codes.yml.
_UNAUTHORIZED, _AUTHENTICATION_FAILED, _OUT_OF_DISK_SPACE = 13, 18, 14031


def mongodb_url(
    url: str | None = None,
    *,
    host: str | None = None,
    port: int = 27017,
    user: str | None = None,
    password: str | None = None,
) -> str:
    """Return the server's URL: `url` itself, else one made of the parts.

    User and password may hold any character; they are quoted. With a user, the credentials are
    looked up in the `admin` database, where an administrator's are. Raises ConfigurationError
    where neither `url` nor `host` is given, or only one of user and password.
    """
    if url:
        return url
    if not host:
        raise ConfigurationError("set MONGODB_URL, or MONGO_HOST and its companions")
    if bool(user) != bool(password):
        raise ConfigurationError("set both MONGO_ADMIN_USER and MONGO_ADMIN_PASSWORD, or neither")
    bare = host.strip("[]")
    place = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
    if not user or not password:
        return f"mongodb://{place}/"
    return f"mongodb://{quote_plus(user)}:{quote_plus(password)}@{place}/?authSource=admin"


def server_name(url: str) -> str:
    """Return the hosts of `url` for logs and errors: never its credentials, never its options."""
    _, _, rest = url.partition("://")
    return rest.rpartition("@")[2].partition("/")[0].partition("?")[0]


def unavailable(server: str, error: BaseException) -> StoreUnavailable:
    """Return what a caller gets for `error`: the server, the cause and what to do about it."""
    code = error.code if isinstance(error, OperationFailure) else None
    if code in (_UNAUTHORIZED, _AUTHENTICATION_FAILED):
        cause = "it refuses these credentials; check user, password and the user's rights"
    elif code == _OUT_OF_DISK_SPACE:
        cause = "its disk is full; free some space"
    elif isinstance(error, WTimeoutError):
        cause = "a majority of its members did not confirm the write in time"
    elif isinstance(error, ServerSelectionTimeoutError):
        cause = "it cannot be reached; check that it runs and that host and port are right"
    elif isinstance(error, PyMongoError) and error.timeout:
        cause = "it did not answer in time; check that it runs, is reachable and not overloaded"
    elif isinstance(error, ConnectionFailure):
        cause = "the connection was lost"
    else:
        cause = f"it failed with code {code}" if code else "the request failed"
    return StoreUnavailable(f"MongoDB at {server}: {cause} [{type(error).__name__}]")
