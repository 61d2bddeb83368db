"""What never reaches a log: keys, passwords, and the texts of exceptions.

An exception may quote whatever it was raised over, what a person wrote for example. Its type and
the places it came through say where the mistake is; its text stays out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from traceback import walk_tb
from types import TracebackType
from typing import TextIO

from chatbot_ai.access.key import KEY_PATTERN, PREFIX, id_of

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

#: Keys of others by their beginnings: OpenAI and Anthropic, Hugging Face, Google, GitHub.
_OTHER_KEYS = re.compile(r"\b(sk-|hf_|AIza|gh[pousr]_)[A-Za-z0-9_-]{12,}")
#: `user:password@` of a URL, the password with whatever stands before the host's @.
_PASSWORD = re.compile(r"(://[^\s/:@\"']*):[^\s/\"']+@")
#: Exceptions of one chain or group that are told.
_MOST = 12


def hide_keys(line: str) -> str:
    """Shorten our own API keys to the part that may be shown, others to their beginning, and take
    passwords out of URLs, wherever a caller or a library has put one: a path, an error's text. No
    code of ours logs one; this is the net below."""
    if PREFIX in line:
        line = KEY_PATTERN.sub(lambda key: f"{id_of(key[0])}…", line)
    if "://" in line:
        line = _PASSWORD.sub(r"\1:…@", line)
    return _OTHER_KEYS.sub(r"\1…", line)


def format_frames(exc_info: ExcInfo) -> str:
    """The exception's chain, first cause first: types and frames, without texts or source lines."""
    return "\n".join(_told(list(_chain(exc_info[1]))[:_MOST]))


def write_frames(stream: TextIO, exc_info: ExcInfo) -> None:
    """The same for a terminal."""
    stream.write("\n" + format_frames(exc_info))


def _told(errors: list[BaseException]) -> Iterator[str]:
    for error in reversed(errors):
        kind = type(error)
        yield f"{kind.__module__}.{kind.__qualname__}"
        for frame, line in walk_tb(error.__traceback__):
            code = frame.f_code
            yield f"  {code.co_filename}:{line} in {code.co_qualname}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from _chain(part)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
