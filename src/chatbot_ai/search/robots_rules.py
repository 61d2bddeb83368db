"""What a robots.txt says to one crawler (RFC 9309). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

#: More rules than this for one crawler are no rules that a site means; the first ones count.
MAX_RULES = 10_000
_TOKEN = re.compile(r"[a-z_-]+", re.IGNORECASE)
#: What `quote` leaves as it is beside letters and digits: reserved characters, which mean
#: themselves (RFC 3986 section 2.2), and the two that rules give a sense.
_KEPT = "/:?#[]@!$&'()*+,;=-._~"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line. `pattern` is split at its stars; `anchored` says that it ends with `$`."""

    allows: bool
    parts: tuple[str, ...]
    anchored: bool
    octets: int

    def matches(self, path: str) -> bool:
        """Linear in the path for each star: stars take as little as they can."""
        first, *rest = self.parts
        if not path.startswith(first):
            return False
        at = len(first)
        if not rest:
            return at == len(path) if self.anchored else True
        *middle, last = rest
        for part in middle:
            found = path.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        if self.anchored:
            return path.endswith(last) and len(path) - len(last) >= at
        return path.find(last, at) >= 0


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one crawler, the longest pattern first; where two are as long, allowing ones
    are (RFC 9309 section 2.2.2)."""

    rules: tuple[Rule, ...] = ()

    def allow(self, path: str) -> bool:
        """Tell whether `path`, query included, may be fetched."""
        normal = _normal(path)
        return next((rule.allows for rule in self.rules if rule.matches(normal)), True)


def rules_for(text: str, user_agent: str) -> Rules:
    """Read what `text` says to the crawler whose product token begins `user_agent`: its own groups
    together, else those of `*` (RFC 9309 section 2.2.1)."""
    token = _token(user_agent)
    own: list[Rule] = []
    others: list[Rule] = []
    is_named = False
    for names, rules in _groups(text):
        if token in names:
            is_named = True
            own += rules
        elif "*" in names:
            others += rules
    chosen = (own if is_named else others)[:MAX_RULES]
    return Rules(tuple(sorted(chosen, key=lambda rule: (-rule.octets, not rule.allows))))


def _groups(text: str) -> Iterator[tuple[set[str], list[Rule]]]:
    """Groups of user-agent lines and the rules after them; other lines do not end a group."""
    names: set[str] = set()
    rules: list[Rule] = []
    in_rules = False
    for key, value in _lines(text.splitlines()):
        if key == "user-agent":
            if in_rules:
                yield names, rules
                names, rules, in_rules = set(), [], False
            names.add("*" if value == "*" else _token(value))
        elif key in ("allow", "disallow"):
            in_rules = True
            if value and names:
                rules.append(_rule(key == "allow", value))
    yield names, rules


def _lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _rule(allows: bool, value: str) -> Rule:
    anchored = value.endswith("$")
    pattern = _normal(value.removesuffix("$") if anchored else value)
    # a run of stars is one
    parts = re.split(r"\*+", pattern)
    return Rule(allows, tuple(parts), anchored, len(pattern) + anchored)


def _token(user_agent: str) -> str:
    found = _TOKEN.match(user_agent.strip())
    return found.group().lower() if found else ""


def _normal(path: str) -> str:
    """One writing of a path: what may stand unescaped does, everything else is escaped
    (RFC 9309 section 2.2.2); an escaped reserved character is not the character itself."""
    pieces = re.split(r"(%[0-9a-fA-F]{2})", path)
    out: list[str] = []
    for n, piece in enumerate(pieces):
        if n % 2 == 0:
            out.append(quote(piece, safe=_KEPT))
            continue
        char = unquote_to_bytes(piece).decode("latin-1")
        unreserved = char.isascii() and (char.isalnum() or char in "-._~")
        out.append(char if unreserved else piece.upper())
    return "".join(out)
