"""Properties that hold for any card, any lorebook and any bytes."""

from __future__ import annotations

import base64
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatbot_ai.cards import (
    CardError,
    CardLimits,
    CharacterCard,
    Lorebook,
    LoreScene,
    LoreState,
    MacroScope,
    activate,
    expand,
    inspect_picture,
    read_card,
    to_request_fields,
    write_card,
)
from chatbot_ai.cards.limits import safe_path
from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.particles import find_ending, resolve_particle
from support import card_samples as samples
from support.generated import examples

SMALL = settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
SEEDS = [
    samples.png(samples.text_chunk("ccv3", samples.risuai_v3())),
    samples.png(samples.text_chunk("chara", samples.sillytavern_v2(), kind=b"iTXt")),
    samples.charx(samples.risuai_v3(), samples.risuai_files()),
    samples.charx(samples.risuai_v3(), samples.risuai_files(), prefix=samples.jpeg()),
    json.dumps(samples.sillytavern_v2(), ensure_ascii=False).encode(),
    json.dumps(samples.chub_v2()).encode(),
]
MAGICS = [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\xff\xd8\xff", b"{", b"GIF89a", b"MZ", b"<"]

text = st.text(max_size=30)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
FIELD_NAMES = [*samples.risuai_v3()["data"], "group_only_greetings", "source", "name"]
ENTRY_NAMES = [
    *samples.sillytavern_v2()["data"]["character_book"]["entries"][0],
    *("priority", "case_sensitive", "name"),
]


def survives(data: bytes) -> None:
    """Reading either works, and then everything does, or is a CardError."""
    try:
        read = read_card(data, "x.png")
        to_request_fields(read.card, "민수")
        for format in ("png", "charx", "json"):
            write_card(read.card, read.picture, format, read.assets)
    except CardError as error:
        assert error.code == "invalid_card"


@SMALL
@given(st.sampled_from(MAGICS), st.binary(max_size=400))
@example(b"PK\x05\x06", bytes(18))
@example(b"RIFF\0\0\0\0WEBP", bytes(40))
def test_arbitrary_bytes_raise_nothing_but_card_errors(magic: bytes, data: bytes) -> None:
    """Whatever a stranger uploads."""
    survives(magic + data)
    try:
        inspect_picture(magic + data)
    except CardError:
        return


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SEEDS), st.data())
def test_altered_cards_raise_nothing_but_card_errors(seed: bytes, data: st.DataObject) -> None:
    """Bytes overwritten, removed, inserted or repeated anywhere in a valid file."""
    altered = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(altered)))
        length = data.draw(st.integers(0, 12))
        altered[at : at + length] = data.draw(st.binary(max_size=12))
    survives(bytes(altered))


@SMALL
@given(st.sampled_from(SEEDS), st.data())
def test_a_file_cut_anywhere_raises_nothing_but_card_errors(
    seed: bytes, data: st.DataObject
) -> None:
    """An upload that broke off."""
    survives(seed[: data.draw(st.integers(0, len(seed) - 1))])


@SMALL
@given(
    st.sampled_from(["chara_card_v2", "chara_card_v3"]) | anything,
    st.just("3.0") | anything,
    st.dictionaries(st.sampled_from(FIELD_NAMES), anything, max_size=6),
    st.none() | st.lists(st.dictionaries(st.sampled_from(ENTRY_NAMES), anything, max_size=5)),
)
def test_wrong_types_everywhere_raise_nothing_but_card_errors(
    spec: Any, version: Any, fields: dict[str, Any], entries: list[Any] | None
) -> None:
    """Any JSON value in any field of a card and of its lorebook."""
    data = samples.v1() | fields
    if entries is not None:
        data["character_book"] = {"entries": entries}
    for value in (data, {"spec": spec, "spec_version": version, "data": data}):
        survives(json.dumps(value).encode())
        survives(samples.png(samples.text_chunk("chara", json.dumps(value))))


@SMALL
@given(st.dictionaries(text, anything, max_size=6), st.integers(0, 3))
def test_unknown_fields_survive_every_format(extra: dict[str, Any], indent: int) -> None:
    """The text of an unedited V3 card is equal after PNG, CHARX and JSON."""
    value = samples.risuai_v3()
    value["data"]["assets"] = None
    value["data"] |= {f"x_{key}": item for key, item in extra.items()}
    written = json.dumps(value, indent=indent)
    try:
        card = CharacterCard.from_text(written)
    except CardError:
        return
    picture: bytes | None = samples.png()
    for format in ("png", "json", "png"):
        read = read_card(write_card(card, picture, format))
        assert read.card.text == card.text
        assert card.notices or card.text == written
    read = read_card(write_card(card, None, "charx"))
    assert read.card.text == card.text
    value = json.loads(card.text)
    value["data"]["personality"] = "새 성격"
    edited = json.loads(card.with_changes(personality="새 성격").text)
    assert edited["data"] == json.loads(json.dumps(value["data"]))
    assert list(edited["data"]) == list(value["data"])


@SMALL
@given(st.text(alphabet=st.sampled_from("{}:,\\/<>()은는 charusernomdpiclk0123dBOT"), max_size=80))
def test_macros_always_end_and_are_the_same_twice(value: str) -> None:
    """Any nesting of braces; nothing but macros changes."""
    scope = MacroScope(char="서연", user="민수", particles=True)
    first = expand(value, scope)
    assert first == expand(value, scope)
    if "{" not in value and "<" not in value:
        assert first == value


@SMALL
@given(st.text(max_size=20), st.text(max_size=20))
def test_particles_never_lose_text(word: str, following: str) -> None:
    """What follows the particle stays; an unmarked text stays whole."""
    resolved = resolve_particle(word, "은(는)" + following)
    assert resolved.endswith(following)
    assert find_ending(word) in {"vowel", "rieul", "consonant", None}


@SMALL
@given(st.text(max_size=40))
def test_a_safe_path_stays_inside(path: str) -> None:
    """No accepted path climbs, is absolute, or holds a separator of another system."""
    try:
        safe_path(path)
    except CardError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert not {"\\", "\0", ":"} & set(path)


words = st.sampled_from(["열쇠", "문", "Tom", "용", "a", "(", "[가-힣]+", "{{char}}"])
decorators = st.sampled_from(
    [
        *(
            "",
            "@@depth 2\n",
            "@@activate\n",
            "@@dont_activate\n",
            "@@role user\n",
            "@@x\n@@@depth 1\n",
        ),
        *("@@scan_depth 1\n", "@@keep_activate_after_match\n", "@@dont_activate_after_match\n"),
        *("@@additional_keys 문\n", "@@exclude_keys 용\n", "@@ignore_on_max_context\n"),
    ]
)
entries = st.fixed_dictionaries(
    {
        "keys": st.lists(words, max_size=3),
        "content": st.builds("{}{}".format, decorators, words),
        "enabled": st.booleans(),
        "constant": st.booleans(),
        "use_regex": st.booleans(),
        "selective": st.booleans(),
        "secondary_keys": st.lists(words, max_size=2),
        "insertion_order": st.integers(-3, 3),
        "priority": st.none() | st.integers(0, 3),
    }
)


@SMALL
@given(
    st.lists(entries, max_size=8),
    st.booleans(),
    st.lists(st.lists(words, max_size=3).map(" ".join), max_size=5),
    st.none() | st.integers(-1, 12),
    st.sets(st.integers(0, 7).map(str)),
)
def test_an_activation_keeps_its_rules(
    raw: list[dict[str, Any]],
    recursive: bool,
    said: list[str],
    budget: int | None,
    matched: set[str],
) -> None:
    """Budget, order, once each, never disabled; pure; and the state only grows."""
    book = Lorebook.from_json({"entries": raw, "recursive_scanning": recursive})
    messages = [Message("user", content) for content in said]
    state = LoreState(frozenset(matched))
    scene = LoreScene(macros=MacroScope(char="서연", user="민수"))

    def run(of: Lorebook = book, limit: int | None = budget) -> Any:
        return activate(of, messages, state=state, count=len, budget=limit, scene=scene)

    found = run()
    assert found == run()
    assert budget is None or sum(len(item.text) for item in found.entries) <= max(0, budget)
    order = [item.entry.insertion_order for item in found.entries]
    assert order == sorted(order)
    used = [item.entry.key for item in found.entries] + [item.key for item in found.dropped]
    assert len(used) == len(set(used))
    assert all(item.entry.enabled and not item.text.startswith("@@") for item in found.entries)
    assert state.matched <= found.state.matched
    assert set(used) == {item.entry.key for item in run(limit=None).entries}
    if recursive:
        plain = run(Lorebook.from_json({"entries": raw}), None)
        assert {item.entry.key for item in plain.entries} <= set(used)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"name":"x","first_mes":"","a":[' + b"{}," * 199_000 + b"0]}",
        b'{"name":"x","first_mes":"","a":[' + b'"ab",' * 1_600_000 + b"0]}",
        b'{"name":"x","first_mes":"","a":"' + b"\\u0041" * 1_300_000 + b'"}',
    ],
    ids=["objects", "strings", "escapes"],
)
def test_the_worst_json_stays_within_memory(payload: bytes) -> None:
    """At most 300 MB for one card, however its megabytes are spent."""
    data = samples.png(samples.encoded(b"tEXt", b"chara\0" + base64.b64encode(payload)))
    tracemalloc.start()
    try:
        read_card(data, None, CardLimits())
    except CardError as error:
        assert error.reason == "json_too_complex"
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 300 << 20
