"""What a JSON schema costs an engine that turns it into a grammar, told before it is sent.

llama.cpp converts a schema by visiting its parts, then follows every way in which the text so far
can be read, on the one thread that serves everybody (common/json-schema-to-grammar.cpp and
src/llama-grammar.cpp). A few bytes can cost hours: nested repetitions and alternatives that begin
alike multiply the ways, lists of types multiply the visits, a circle of `allOf` or a name of 16 kB
ends the process. What is counted here is an upper bound of each.

The server takes this path for chats whatever it was built with: the binding's own function
`json_schema_to_grammar` returns a text for llguidance, but patterns that llguidance refuses are
answered, and 1,000 alternatives cost it seconds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatbot_ai.domain.errors import InvalidRequest
from chatbot_ai.domain.limits import (
    SCHEMA_DEPTH,
    SCHEMA_NAME_BYTES,
    SCHEMA_PATTERN_CHARS,
    SCHEMA_PATTERNS_CHARS,
    SCHEMA_SIZE,
    SCHEMA_VISITS,
    SCHEMA_WAYS,
    SCHEMA_WORK,
)
from chatbot_ai.domain.pattern_cost import MANY, MOST_REPETITIONS, PatternCost, read_pattern

#: Literal texts that cost as much as one way in which a pattern can be read, measured: those that
#: begin with the same characters, and any, which all are followed for the first token only.
LITERALS_PER_WAY, FIRST_LITERALS_PER_WAY = 8, 16
SAME_START = 4
#: Times that a recursive schema is read again until its count no longer changes.
ROUNDS = 4
#: What it takes to visit a part, in comparisons of two properties.
VISIT_WORK = 8

#: What the text of a value begins with, by its type; alternatives that differ in it are told apart.
KINDS = {
    "object": "{",
    "array": "[",
    "string": '"',
    "number": "0",
    "integer": "0",
    "boolean": "b",
    "null": "n",
}
ANY = frozenset(KINDS.values())
#: Keywords that make a value without a `type` one of this kind.
IMPLIED = {"properties": "{", "items": "[", "prefixItems": "[", "pattern": '"'}


@dataclass(frozen=True, slots=True)
class _Leading:
    """A property that an object's text must have, in the order of the text."""

    name: str
    values: frozenset[str] | None
    ways: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """In how many ways at once a value's text can be read while it is written."""

    ways: int = 1
    kinds: frozenset[str] = ANY
    leading: tuple[_Leading, ...] = ()


def check_schema(schema: dict[str, Any]) -> None:
    """Raise InvalidRequest, with the place in `where`, if the schema costs too much to follow."""
    walk = _Walk(schema)
    for number in range(ROUNDS):
        before = walk.known
        walk.start()
        walk.visit(schema, "schema", 0, 0)
        # the first reading knows nothing of what refers to itself, and may count too much
        if walk.known == before or (walk.ambiguous and number):
            break
    else:
        walk.ambiguous = walk.ambiguous or "schema"
    if walk.ambiguous:
        where = _end_of(walk.ambiguous)
        raise InvalidRequest("response_format", "schema_ambiguous", where=where)


@dataclass(slots=True)
class _Walk:
    """One reading of a schema; `known` is what each reference turned out to be."""

    root: dict[str, Any]
    known: dict[str, _Reading] = field(default_factory=dict)
    ambiguous: str = ""
    _earlier: dict[str, _Reading] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _patterns: dict[str, PatternCost] = field(default_factory=dict)
    _texts: dict[int, frozenset[str] | None] = field(default_factory=dict)
    _visits: int = 0
    _size: int = 0
    _work: int = 0

    def start(self) -> None:
        self._earlier, self.known = self.known, {}
        self._visits = self._size = 0
        self.ambiguous = ""

    def visit(self, node: object, where: str, depth: int, name_bytes: int) -> _Reading:
        """Read one part, all of its keywords, whichever of them the engine goes by."""
        types = node.get("type") if isinstance(node, dict) else None
        # the engine reads the whole part once for each type of a list
        times = max(1, len(types)) if isinstance(types, list) else 1
        self._charge(where, visits=times)
        if depth > SCHEMA_DEPTH or name_bytes > SCHEMA_NAME_BYTES:
            raise _too_large(where)
        if not isinstance(node, dict):
            return _Reading()
        for _ in range(times):
            found = self._read(node, where, depth + 1, name_bytes)
        ways = min(found.ways, MANY)
        if ways > SCHEMA_WAYS and not self.ambiguous:
            self.ambiguous = where
        return _Reading(ways, found.kinds, found.leading)

    def _read(self, node: dict[str, Any], where: str, depth: int, name_bytes: int) -> _Reading:
        found = _Reading(kinds=_kinds_of(node))
        if isinstance(reference := node.get("$ref"), str):
            found = self._follow(reference, where, depth)
        ways, kinds, leading = found.ways, found.kinds, found.leading
        for keyword, parts in _parts_of(node):
            readings = [
                self.visit(part, f"{where}.{keyword}[{n}]", depth, name_bytes + 16)
                for n, part in enumerate(parts)
            ]
            if keyword in ("anyOf", "oneOf"):
                ways = max(ways, _ways_of_alternatives(_join(parts, readings), self._spend))
                kinds = frozenset[str]().union(*(one.kinds for one in readings))
            ways = max(ways, *(one.ways for one in readings), 1)
        if isinstance(properties := node.get("properties"), dict):
            found = self._read_properties(node, properties, where, depth, name_bytes)
            ways, leading = max(ways, found.ways), found.leading
        if isinstance(values := node.get("enum"), list):
            self._spend(len(values))
            ways = max(ways, _ways_of_literals(values))
        if isinstance(pattern := node.get("pattern"), str):
            cost = self._read_pattern(pattern, f"{where}.pattern")
            self._charge(f"{where}.pattern", size=cost.size)
            ways = max(ways, cost.width)
            if ways > SCHEMA_WAYS:
                self.ambiguous = self.ambiguous or f"{where}.pattern"
        for keyword in ("minItems", "maxItems", "minLength", "maxLength"):
            if isinstance(count := node.get(keyword), int | float):
                self._charge(where, size=int(max(0, min(MOST_REPETITIONS, count))))
        return _Reading(ways, kinds, leading)

    def _read_properties(
        self,
        node: dict[str, Any],
        properties: dict[str, Any],
        where: str,
        depth: int,
        name_bytes: int,
    ) -> _Reading:
        required = node.get("required")
        listed = required if isinstance(required, list) else []
        self._spend(len(listed))
        names = {one for one in listed if isinstance(one, str)}
        ways, leading = 1, []
        for name, part in properties.items():
            place = f"{where}.properties.{name}"
            inner = name_bytes + len(name.encode()) + 1
            reading = self.visit(part, place, depth, inner)
            ways = max(ways, reading.ways)
            if name in names:
                if id(part) not in self._texts:
                    self._texts[id(part)] = _values_of(part)
                leading.append(_Leading(name, self._texts[id(part)], reading.ways))
        optional = len(properties) - len(leading)
        # the engine lists the rest of the optional ones behind each of them
        self._charge(where, size=optional**3 // 64)
        return _Reading(max(ways, 1 + optional // LITERALS_PER_WAY), leading=tuple(leading))

    def _read_pattern(self, pattern: str, where: str) -> PatternCost:
        if pattern not in self._patterns:
            total = sum(map(len, self._patterns)) + len(pattern)
            if len(pattern) > SCHEMA_PATTERN_CHARS or total > SCHEMA_PATTERNS_CHARS:
                raise _too_large(where)
            self._spend(VISIT_WORK * len(pattern))
            self._patterns[pattern] = read_pattern(pattern)
        return self._patterns[pattern]

    def _follow(self, reference: str, where: str, depth: int) -> _Reading:
        if reference in self._open:
            return self._earlier.get(reference, _Reading())
        if reference not in self.known:
            self._refuse_circle(reference, where)
            self._open.add(reference)
            name_bytes = len(reference.encode())
            self.known[reference] = self.visit(self._target(reference), where, depth, name_bytes)
            self._open.remove(reference)
        return self.known[reference]

    def _refuse_circle(self, reference: str, where: str) -> None:
        """Refuse references to references only, which the engine follows without end in `allOf`."""
        seen = set()
        target: object = {"$ref": reference}
        while isinstance(target, dict) and isinstance(target.get("$ref"), str):
            if target["$ref"] in seen:
                raise _too_large(where)
            seen.add(target["$ref"])
            target = self._target(target["$ref"])

    def _target(self, reference: str) -> object:
        target: object = self.root if reference.startswith("#/") else None
        for step in reference.split("/")[1:]:
            if isinstance(target, dict):
                target = target.get(step)
            elif isinstance(target, list) and step.isdecimal() and int(step) < len(target):
                target = target[int(step)]
            else:
                return None
        return target

    def _charge(self, where: str, visits: int = 0, size: int = 0) -> None:
        self._spend(VISIT_WORK * visits)
        self._visits += visits
        self._size += size
        if self._visits > SCHEMA_VISITS or self._size > SCHEMA_SIZE:
            raise _too_large(where)

    def _spend(self, work: int) -> None:
        """Count what the check itself does, which holds the event loop, in all rounds together."""
        self._work += work
        if self._work > SCHEMA_WORK:
            raise _too_large("schema")


def _too_large(where: str) -> InvalidRequest:
    return InvalidRequest("response_format", "schema_too_large", where=_end_of(where))


def _end_of(where: str) -> str:
    return where if len(where) < 100 else f"…{where[-99:]}"


def _parts_of(node: dict[str, Any]) -> Iterator[tuple[str, list[object]]]:
    """Each keyword that holds other parts, with them; `properties` apart."""
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems", "items", "additionalProperties"):
        parts = node.get(keyword)
        if isinstance(parts, list | dict):
            yield keyword, parts if isinstance(parts, list) else [parts]


def _kinds_of(node: dict[str, Any]) -> frozenset[str]:
    types = node.get("type")
    named = types if isinstance(types, list) else [types]
    if found := frozenset(KINDS[one] for one in named if isinstance(one, str) and one in KINDS):
        return found
    implied = frozenset(kind for keyword, kind in IMPLIED.items() if keyword in node)
    return implied or ANY


def _values_of(part: object) -> frozenset[str] | None:
    """The texts that a property's value is limited to, if it is."""
    if not isinstance(part, dict):
        return None
    values = [part["const"]] if "const" in part else part.get("enum")
    return frozenset(map(json.dumps, values)) if isinstance(values, list) else None


def _ways_of_literals(values: Sequence[object]) -> int:
    """How many of them are followed at once: first all, then those that begin alike."""
    starts = Counter(
        str(value)[:SAME_START] if isinstance(value, str | int | float) else "" for value in values
    )
    alike = max(starts.values(), default=0)
    return 1 + max(alike // LITERALS_PER_WAY, len(values) // FIRST_LITERALS_PER_WAY)


def _join(parts: Sequence[object], readings: Sequence[_Reading]) -> list[_Reading]:
    """What the alternatives are, with those that are a constant only as one `enum`."""
    constants, joined, kinds = [], [], ANY - ANY
    for part, reading in zip(parts, readings, strict=True):
        if isinstance(part, dict) and "const" in part and part.keys() <= {"const", "type"}:
            constants.append(part["const"])
            kinds |= reading.kinds
        else:
            joined.append(reading)
    if constants:
        joined.append(_Reading(_ways_of_literals(constants), kinds))
    return joined


def _ways_of_alternatives(readings: Sequence[_Reading], spend: Callable[[int], None]) -> int:
    """The sum over those that begin alike; objects only until a required property differs."""
    most = 1
    groups = {tuple(n for n, one in enumerate(readings) if kind in one.kinds) for kind in ANY}
    for group in groups:
        alike = [readings[n] for n in group]
        undecided = sum(_ways_until_decided(one, alike, spend) for one in alike)
        most = max(most, undecided, *(one.ways for one in alike), 1)
    return most


def _ways_until_decided(
    one: _Reading, alike: Sequence[_Reading], spend: Callable[[int], None]
) -> int:
    shared = 0
    for other in alike:
        if other is not one:
            length = _shared_length(one.leading, other.leading, spend)
            if length is None:
                return one.ways
            shared = max(shared, length)
    return max((leading.ways for leading in one.leading[:shared]), default=1)


def _shared_length(
    one: Sequence[_Leading], other: Sequence[_Leading], spend: Callable[[int], None]
) -> int | None:
    """How many required properties both texts begin with; None where nothing tells them apart."""
    spend(1)
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        spend(1 + min(len(a.values or ()), len(b.values or ())) // 8)
        if a.name != b.name or (a.values and b.values and a.values.isdisjoint(b.values)):
            return n
    return None
