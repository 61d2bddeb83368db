"""A character card: the author's JSON, kept as it came, with typed ways to read it.

Sources: Character Card V1 and V2 (malfoyslastname, 2023) and V3 (kwaroran, 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chatbot_ai.cards import fields
from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.jsoncard import JsonObject, dump_object, parse_object
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.lorebook import Lorebook

CardVersion = Literal[1, 2, 3]

#: The six fields of V1. V2 files of many tools repeat them beside `data`.
V1_FIELDS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
NEWEST_SPEC = 3.0

_SPECS: dict[str, CardVersion] = {"chara_card_v2": 2, "chara_card_v3": 3}


@dataclass(frozen=True, slots=True)
class CardAsset:
    """One line of a V3 card's `assets`; `uri` is not resolved."""

    type: str
    uri: str
    name: str
    ext: str


@dataclass(frozen=True, slots=True)
class CharacterCard:
    """A card of V1, V2 or V3. Two cards are equal if their text is.

    text     the JSON exactly as it was read; what is written out again while nothing is edited
    raw      the parsed text, every unknown field included; never change it, use `with_changes`
    """

    text: str
    raw: JsonObject = field(compare=False, repr=False)
    version: CardVersion = field(compare=False)

    @classmethod
    def from_text(cls, text: str, limits: CardLimits = DEFAULT_LIMITS) -> CharacterCard:
        """Read a card's JSON and check the type of every field that the specifications name."""
        raw = parse_object(text, limits)
        card = cls(text=text, raw=raw, version=_version(raw))
        card._check(limits)
        return card

    @classmethod
    def new(cls, name: str, *, now_s: int = 0, **changes: object) -> CharacterCard:
        """A V3 card with the mandatory fields. `now_s` is Unix time; 0 leaves the dates unknown."""
        raw: JsonObject = {"spec": "chara_card_v3", "spec_version": "3.0", "data": {}}
        raw["data"] = _v3_data({"name": name}, now_s) | changes
        return cls.from_text(dump_object(raw))

    @property
    def data(self) -> Mapping[str, Any]:
        return self.raw if self.version == 1 else fields.object_field(self.raw, "data")

    @property
    def name(self) -> str:
        return fields.text_field(self.data, "name")

    @property
    def nickname(self) -> str:
        return fields.text_field(self.data, "nickname")

    @property
    def spoken_name(self) -> str:
        """What `{{char}}` stands for: the nickname, else the name."""
        return self.nickname.strip() or self.name.strip()

    @property
    def description(self) -> str:
        return fields.text_field(self.data, "description")

    @property
    def personality(self) -> str:
        return fields.text_field(self.data, "personality")

    @property
    def scenario(self) -> str:
        return fields.text_field(self.data, "scenario")

    @property
    def first_mes(self) -> str:
        return fields.text_field(self.data, "first_mes")

    @property
    def mes_example(self) -> str:
        return fields.text_field(self.data, "mes_example")

    @property
    def alternate_greetings(self) -> tuple[str, ...]:
        return fields.texts_field(self.data, "alternate_greetings")

    @property
    def group_only_greetings(self) -> tuple[str, ...]:
        return fields.texts_field(self.data, "group_only_greetings")

    @property
    def greetings(self) -> tuple[str, ...]:
        """What a chat may begin with: first_mes is 0, the first alternate 1."""
        return (self.first_mes, *self.alternate_greetings)

    @property
    def system_prompt(self) -> str:
        return fields.text_field(self.data, "system_prompt")

    @property
    def post_history_instructions(self) -> str:
        return fields.text_field(self.data, "post_history_instructions")

    @property
    def creator_notes(self) -> str:
        """For the reader of the card, never for a prompt."""
        return fields.text_field(self.data, "creator_notes")

    def creator_notes_in(self, language: str) -> str:
        """The notes in `language` (ISO 639-1), else the general ones."""
        translations = fields.object_field(self.data, "creator_notes_multilingual")
        return fields.text_field(translations, language) or self.creator_notes

    @property
    def tags(self) -> tuple[str, ...]:
        return fields.texts_field(self.data, "tags")

    @property
    def creator(self) -> str:
        return fields.text_field(self.data, "creator")

    @property
    def character_version(self) -> str:
        return fields.text_field(self.data, "character_version")

    @property
    def extensions(self) -> Mapping[str, Any]:
        return fields.object_field(self.data, "extensions")

    @property
    def source(self) -> tuple[str, ...]:
        return fields.texts_field(self.data, "source")

    @property
    def creation_date(self) -> int:
        """Unix seconds, 0 if unknown."""
        return fields.integer_field(self.data, "creation_date") or 0

    @property
    def modification_date(self) -> int:
        """Unix seconds, 0 if unknown."""
        return fields.integer_field(self.data, "modification_date") or 0

    @property
    def character_book(self) -> Lorebook | None:
        return self.lorebook()

    def lorebook(self, limits: CardLimits = DEFAULT_LIMITS) -> Lorebook | None:
        book = fields.object_field(self.data, "character_book")
        return Lorebook.from_json(book, limits) if book else None

    @property
    def assets(self) -> tuple[CardAsset, ...]:
        """The declared assets. None declared means one icon, which is the card's own picture."""
        if self.version == 1 or self.data.get("assets") is None:
            return (CardAsset("icon", "ccdefault:", "main", "png"),)
        return tuple(
            CardAsset(*(fields.text_field(item, key) for key in ("type", "uri", "name", "ext")))
            for item in fields.objects_field(self.data, "assets")
        )

    def warnings(self) -> tuple[CardWarning, ...]:
        """What a reader of this card should be told although it was accepted."""
        found = []
        if not self.spoken_name:
            found.append(CardWarning("name_empty"))
        if self.version == 1:
            return tuple(found)
        declared = str(self.raw.get("spec_version", ""))
        try:
            version = float(declared)
        except ValueError:
            version = float("nan")
        if version > NEWEST_SPEC:
            found.append(CardWarning("spec_newer", {"version": declared[:20]}))
        elif str(self.raw.get("spec")) not in _SPECS or not version >= 1:
            found.append(CardWarning("spec_unclear"))
        return tuple(found)

    def with_changes(self, *, now_s: int = 0, **changes: object) -> CharacterCard:
        """This card with fields of `data` replaced (None removes one), all others untouched.

        A V1 card that gets a field V1 does not know becomes V3. `now_s`, if given, is noted as
        the modification date of a V3 card. Nothing changed: this card itself, byte for byte.
        Raises CardError for a value of the wrong type.
        """
        if self.version == 1 and not changes.keys() <= set(V1_FIELDS):
            return self.upgraded(now_s).with_changes(now_s=now_s, **changes)
        removed = {key for key, value in changes.items() if value is None}
        data = {key: value for key, value in self.data.items() if key not in removed}
        data |= {key: value for key, value in changes.items() if value is not None}
        if data == self.data:
            return self
        if now_s and self.version == 3:
            data["modification_date"] = now_s
        if self.version == 1:
            return CharacterCard.from_text(dump_object(data))
        raw = {key: data if key == "data" else value for key, value in self.raw.items()}
        for key in changes.keys() & set(V1_FIELDS) & raw.keys():
            raw[key] = data.get(key, "")
        return CharacterCard.from_text(dump_object(raw))

    def upgraded(self, now_s: int = 0) -> CharacterCard:
        """This card as V3; a V3 card is returned as it is. Unknown fields stay where they are."""
        if self.version == 3:
            return self
        outer = {} if self.version == 1 else self.raw
        inner = {k: v for k, v in self.data.items() if k not in {"spec", "spec_version", "data"}}
        raw = outer | {"spec": "chara_card_v3", "spec_version": "3.0"}
        raw["data"] = _v3_data(inner, now_s)
        return CharacterCard.from_text(dump_object(raw))

    def _check(self, limits: CardLimits) -> None:
        for attribute in type(self).__dict__:
            if isinstance(type(self).__dict__[attribute], property):
                getattr(self, attribute)
        self.lorebook(limits)
        translations = fields.object_field(self.data, "creator_notes_multilingual")
        for language in translations:
            fields.text_field(translations, language)


def _version(raw: JsonObject) -> CardVersion:
    spec = raw.get("spec")
    if isinstance(raw.get("data"), dict):
        if spec == "lorebook_v3":
            raise CardError("not_a_character")
        return _SPECS.get(str(spec), 3 if isinstance(spec, str) else 2)
    if spec is None and "name" in raw and any(key in raw for key in V1_FIELDS[1:]):
        return 1
    raise CardError("not_a_character")


def _v3_data(data: Mapping[str, Any], now_s: int) -> JsonObject:
    lists = ("alternate_greetings", "tags", "group_only_greetings")
    texts = ("system_prompt", "post_history_instructions", "creator_notes", "creator")
    complete: JsonObject = dict(data)
    for key in (*V1_FIELDS, *texts, "character_version"):
        if complete.get(key) is None:
            complete[key] = ""
    for key in lists:
        if complete.get(key) is None:
            complete[key] = []
    if complete.get("extensions") is None:
        complete["extensions"] = {}
    if now_s:
        complete.setdefault("creation_date", now_s)
        complete["modification_date"] = now_s
    book = complete.get("character_book")
    if isinstance(book, dict) and isinstance(book.get("entries"), list):
        entries = [
            entry if "use_regex" in entry else entry | {"use_regex": False}
            for entry in book["entries"]
        ]
        complete["character_book"] = book | {"entries": entries}
    return complete
