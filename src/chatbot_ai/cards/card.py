"""A character card: the author's JSON, kept as it came, with typed ways to read it.

Sources: Character Card V1 and V2 (malfoyslastname, 2023) and V3 (kwaroran, 2024).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from chatbot_ai.cards.errors import CardError, CardWarning
from chatbot_ai.cards.fields import Fields
from chatbot_ai.cards.jsoncard import JsonObject, dump_object, parse_json, read_first_line
from chatbot_ai.cards.limits import DEFAULT_LIMITS, CardLimits
from chatbot_ai.cards.lorebook import Lorebook

CardVersion = Literal[1, 2, 3]
T = TypeVar("T")

#: The six fields of V1. V2 files of many tools repeat them beside `data`.
V1_FIELDS = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
NEWEST_SPEC = 3.0
#: Of a character that is made around a lorebook without a name.
LOREBOOK_NAME = "Lorebook"

_SPECS: dict[str, CardVersion] = {"chara_card_v2": 2, "chara_card_v3": 3}


@dataclass(frozen=True, slots=True)
class CardAsset:
    """One line of a V3 card's `assets`; `uri` is not resolved."""

    type: str
    uri: str
    name: str
    ext: str


class _Field(Generic[T]):
    """A field of a card's `data`, under its own name, as a method of Fields reads it."""

    def __init__(self, read: Callable[[Fields, str], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, card: CharacterCard, owner: type) -> T:
        return self._read(card._fields, self._name)


@dataclass(frozen=True, slots=True)
class CharacterCard:
    """A card of V1, V2 or V3. Two cards are equal if their text is.

    text     the JSON exactly as it was read, unless it had to be repaired; what is written out
             again while nothing is edited
    raw      the parsed text, every unknown field included; never change it, use `with_changes`
    odd      names of fields that had the wrong type and were read as near as they could be
    notices  what else a reader should be told
    """

    text: str
    raw: JsonObject = field(compare=False, repr=False)
    version: CardVersion = field(compare=False)
    odd: dict[str, None] = field(default_factory=dict, compare=False, repr=False)
    notices: tuple[CardWarning, ...] = field(default=(), compare=False)

    nickname = _Field(Fields.text)
    description = _Field(Fields.text)
    personality = _Field(Fields.text)
    scenario = _Field(Fields.text)
    first_mes = _Field(Fields.text)
    mes_example = _Field(Fields.text)
    alternate_greetings = _Field(Fields.texts)
    group_only_greetings = _Field(Fields.texts)
    system_prompt = _Field(Fields.text)
    post_history_instructions = _Field(Fields.text)
    #: For the reader of the card, never for a prompt.
    creator_notes = _Field(Fields.text)
    tags = _Field(Fields.words)
    creator = _Field(Fields.text)
    character_version = _Field(Fields.text)
    extensions = _Field(Fields.object)
    source = _Field(Fields.texts)
    #: Unix seconds, 0 if unknown.
    creation_date = _Field(Fields.seconds)
    modification_date = _Field(Fields.seconds)

    @classmethod
    def from_text(cls, text: str, limits: CardLimits = DEFAULT_LIMITS) -> CharacterCard:
        """Read a card's JSON, of whatever tool. Raises CardError where there is no card in it."""
        try:
            text, value, is_repaired = parse_json(text, limits)
        except CardError as error:
            if _is_chat(read_first_line(text)):
                raise CardError("not_a_card_but_a_chat") from error
            raise
        raw, is_converted = _find_card(value)
        if is_converted:
            text = dump_object(raw)
        notices: tuple[CardWarning, ...] = (CardWarning("json_repaired"),) if is_repaired else ()
        if isinstance(value, dict) and _is_lorebook(value):
            notices += (CardWarning("lorebook_alone"),)
        card = cls(text=text, raw=raw, version=_version(raw), notices=notices)
        card._read_all(limits)
        return card

    @classmethod
    def new(cls, name: str, *, now_s: int = 0, **changes: object) -> CharacterCard:
        """A V3 card with the mandatory fields. `now_s` is Unix time; 0 leaves the dates unknown."""
        raw: JsonObject = {"spec": "chara_card_v3", "spec_version": "3.0", "data": {}}
        raw["data"] = _v3_data({"name": name}, now_s) | changes
        return cls.from_text(dump_object(raw))

    @property
    def _fields(self) -> Fields:
        return Fields(self.data, self.odd)

    @property
    def data(self) -> Mapping[str, Any]:
        return self.raw if self.version == 1 else self.raw["data"]

    @property
    def name(self) -> str:
        """The name; some tools leave it empty in `data` and keep it beside it."""
        return self._fields.text("name") or Fields(self.raw, self.odd).text("name")

    @property
    def spoken_name(self) -> str:
        """What `{{char}}` stands for: the nickname, else the name."""
        return self.nickname.strip() or self.name.strip()

    @property
    def greetings(self) -> tuple[str, ...]:
        """What a chat may begin with: first_mes is 0, the first alternate 1."""
        return (self.first_mes, *self.alternate_greetings)

    def creator_notes_in(self, language: str) -> str:
        """The notes in `language` (ISO 639-1), else the general ones."""
        translations = self._fields.object("creator_notes_multilingual")
        return Fields(translations, self.odd).text(language) or self.creator_notes

    @property
    def character_book(self) -> Lorebook | None:
        return self.lorebook()

    def lorebook(self, limits: CardLimits = DEFAULT_LIMITS) -> Lorebook | None:
        book = self._fields.object("character_book")
        return Lorebook.from_json(book, limits, self.odd) if book else None

    @property
    def assets(self) -> tuple[CardAsset, ...]:
        """The declared assets. None declared means one icon, which is the card's own picture."""
        if self.version == 1 or self.data.get("assets") is None:
            return (CardAsset("icon", "ccdefault:", "main", "png"),)
        return tuple(
            CardAsset(*map(Fields(item, self.odd).text, ("type", "uri", "name", "ext")))
            for item in self._fields.objects("assets")
        )

    def warnings(self) -> tuple[CardWarning, ...]:
        """What a reader of this card should be told although it was accepted."""
        found = list(self.notices)
        if self.odd:
            found.append(CardWarning("fields_odd", {"names": ", ".join(list(self.odd)[:20])}))
        book = self.character_book
        if book is not None and book.left_out:
            found.append(CardWarning("lore_left_out", {"entries": book.left_out}))
        unsupported = book.find_unsupported_patterns() if book is not None else ()
        if unsupported:
            patterns = ", ".join(pattern[:60] for pattern in unsupported[:5])
            found.append(CardWarning("pattern_unsupported", {"patterns": patterns}))
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
            return self.upgrade(now_s).with_changes(now_s=now_s, **changes)
        removed = {key for key, value in changes.items() if value is None}
        data = {key: value for key, value in self.data.items() if key not in removed}
        data |= {key: value for key, value in changes.items() if value is not None}
        if data == self.data:
            return self
        if now_s and self.version == 3:
            data["modification_date"] = now_s
        raw = data
        if self.version != 1:
            raw = {key: data if key == "data" else value for key, value in self.raw.items()}
            for key in changes.keys() & set(V1_FIELDS) & raw.keys():
                raw[key] = data.get(key, "")
        card = CharacterCard.from_text(dump_object(raw))
        for key in changes:
            if key in card.odd:
                raise CardError("field_type", name=key)
        return card

    def upgrade(self, now_s: int = 0) -> CharacterCard:
        """This card as V3; a V3 card is returned as it is. Unknown fields stay where they are."""
        if self.version == 3:
            return self
        outer = {} if self.version == 1 else self.raw
        inner = {k: v for k, v in self.data.items() if k not in {"spec", "spec_version", "data"}}
        raw = outer | {"spec": "chara_card_v3", "spec_version": "3.0"}
        raw["data"] = _v3_data(inner, now_s)
        return CharacterCard.from_text(dump_object(raw))

    def _read_all(self, limits: CardLimits) -> None:
        """Read every field once, so that what is odd is known."""
        for name, attribute in type(self).__dict__.items():
            if isinstance(attribute, property | _Field):
                getattr(self, name)
        self.lorebook(limits)
        translations = self._fields.object("creator_notes_multilingual")
        for language in translations:
            Fields(translations, self.odd).text(language)


#: Names that other applications gave to the six fields of V1: Pygmalion, text-generation-webui.
_OTHER_NAMES = {
    "name": ("char_name",),
    "description": ("char_persona", "context"),
    "scenario": ("world_scenario",),
    "first_mes": ("char_greeting", "greeting"),
    "mes_example": ("example_dialogue",),
}


def _find_card(value: object) -> tuple[JsonObject, bool]:
    """The card in what a file held, and whether it had to be brought into a form of ours."""
    if isinstance(value, list) and len(value) == 1 and not _is_chat(value):
        return _find_card(value[0])[0], True
    if not isinstance(value, dict):
        raise CardError("not_a_card_but_a_chat" if _is_chat(value) else "not_a_character")
    if _is_lorebook(value):
        return _card_of_lorebook(value), True
    is_v1 = "name" in value and any(key in value for key in V1_FIELDS[1:])
    if isinstance(value.get("data"), dict) or is_v1:
        return value, False
    if _is_chat(value):
        raise CardError("not_a_card_but_a_chat")
    found = {
        name: value[other]
        for name, others in _OTHER_NAMES.items()
        for other in (name, *others)
        if isinstance(value.get(other), str)
    }
    if len(found) < 2 or "name" not in found:
        raise CardError("not_a_character")
    return {**dict.fromkeys(V1_FIELDS, ""), **value, **found}, True


def _is_chat(value: object) -> bool:
    """Whether it is a conversation, as SillyTavern (a line of it) and OpenAI's clients write it."""
    if isinstance(value, list):
        return bool(value) and _is_chat({"messages": value})
    if not isinstance(value, dict):
        return False
    messages = value.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else value
    if not isinstance(first, dict):
        return False
    signs = ({"user_name", "character_name"}, {"is_user", "mes"}, {"role", "content"})
    return any(sign <= first.keys() for sign in signs)


def _is_lorebook(value: JsonObject) -> bool:
    if value.get("spec") == "lorebook_v3":
        return isinstance(value.get("data"), dict)
    entries = value.get("entries")
    is_card = isinstance(value.get("data"), dict) or any(key in value for key in V1_FIELDS[1:])
    return isinstance(entries, dict | list) and bool(entries) and not is_card


def _card_of_lorebook(value: JsonObject) -> JsonObject:
    """A character around a lorebook that came alone, named after it."""
    book = value["data"] if value.get("spec") == "lorebook_v3" else value
    name = Fields(book).text("name") or Fields(value).text("name") or LOREBOOK_NAME
    data = _v3_data({"name": name, "character_book": book}, 0)
    return {"spec": "chara_card_v3", "spec_version": "3.0", "data": data}


def _version(raw: JsonObject) -> CardVersion:
    if not isinstance(raw.get("data"), dict):
        return 1
    spec = raw.get("spec")
    return _SPECS.get(str(spec), 3 if isinstance(spec, str) else 2)


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
            entry | {"use_regex": False}
            if isinstance(entry, dict) and "use_regex" not in entry
            else entry
            for entry in book["entries"]
        ]
        complete["character_book"] = book | {"entries": entries}
    return complete
