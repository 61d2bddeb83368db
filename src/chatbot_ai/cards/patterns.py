"""Regular expressions of strangers, on an engine that cannot be made to hang.

RE2 takes linear time and bounded memory for every pattern. It knows no look-around and no
back-references: such a pattern counts as invalid, which V3 makes "no match".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits

#: A pattern as JavaScript writes it, which RisuAI and SillyTavern store: /elf|dwarf/i
_SLASHED = re.compile(r"/(.+)/([dgimsuvy]*)\Z", re.DOTALL)
#: For one compiled pattern; RE2's default of 8 MiB is for trusted ones.
_PROGRAM_BYTES = 256 << 10


def is_slashed(key: str) -> bool:
    """Whether a key is written as a pattern: `/…/flags`."""
    return key.startswith("/") and _SLASHED.match(key) is not None


def is_supported(pattern: str) -> bool:
    """Whether the engine knows all that a pattern asks for."""
    return _compile(pattern, False) is not None


class PatternScan:
    """Searches within one activation and its budget of steps.

    Steps are counted beforehand (program size × bytes), so that the same book and chat give the
    same result on a fast machine and a slow one. Beyond the budget nothing matches any more, and
    `exhausted` says so.
    """

    def __init__(self, limits: CardLimits = DEFAULT_LIMITS) -> None:
        self._steps_left = limits.regex_steps
        self._pattern_chars = limits.pattern_chars
        self.exhausted = False

    def matches(self, pattern: str, text: str, *, case_sensitive: bool | None) -> bool:
        """Whether `pattern` is found in `text`. An invalid pattern is found nowhere.

        `/…/flags` brings its own case; for a bare one None means: without difference of case.
        """
        if len(pattern) > self._pattern_chars:
            return False
        compiled = _compile(pattern, bool(case_sensitive))
        if compiled is None:
            return False
        encoded = text.encode("utf-8", "replace")
        self._steps_left -= compiled.programsize * len(encoded)
        if self._steps_left < 0:
            self.exhausted = True
            return False
        return compiled.search(encoded) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str, case_sensitive: bool) -> Any | None:
    slashed = _SLASHED.match(pattern)
    flags = slashed.group(2) if slashed else ""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PROGRAM_BYTES
    options.case_sensitive = "i" not in flags if slashed else case_sensitive
    options.dot_nl = "s" in flags
    body = slashed.group(1) if slashed else pattern
    if "m" in flags:
        body = f"(?m){body}"
    try:
        return re2.compile(body.encode("utf-8"), options=options)
    except (re2.error, UnicodeEncodeError):
        return None
