"""Request bodies. Unknown fields are passed over, as existing clients send extras."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from chatbot_ai.domain import limits
from chatbot_ai.domain.conversation import DB_ID_PATTERN as DB_ID
from chatbot_ai.domain.persona import Character
from chatbot_ai.domain.text import clean_text


def parse_text(value: object) -> object:
    """Text in its one form, see domain/text.py. A lone surrogate is refused."""
    if not isinstance(value, str):
        return value
    try:
        return clean_text(value)
    except UnicodeEncodeError:
        raise PydanticCustomError("surrogate", "unpaired surrogate") from None


def parse_stripped_text(value: object) -> object:
    """Normalise what a person typed, and take the space around it away."""
    text = parse_text(value)
    return text.strip() if isinstance(text, str) else text


def _strict_string(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise PydanticCustomError("string_type", "not a string")
    return value


Text = Annotated[
    str, BeforeValidator(parse_stripped_text), BeforeValidator(_strict_string), Field(min_length=1)
]
InputText = Annotated[Text, Field(max_length=limits.INPUT_DATA_CHARS)]
DB_ID_PATTERN = f"^{DB_ID.pattern}$"
# the pattern is the string's own: on `str | None` pydantic would apply it to null, and crash
DbName = Annotated[str, Field(pattern=DB_ID_PATTERN)]
DbId = Annotated[
    DbName | None,
    BeforeValidator(_strict_string),
    Field(
        default=None,
        description="Conversation: a UUID or a slug of up to 64 letters, digits, - and _.",
        examples=["2f1c0a52-7d0e-4c6f-9b57-3d0a1b1f6a10"],
    ),
]


def _character_id(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9a-f]{32}", value):
        raise PydanticCustomError("character_id", "no id")
    return value


#: As the store of characters makes them.
CharacterId = Annotated[
    str, BeforeValidator(_character_id), Field(json_schema_extra={"pattern": "^[0-9a-f]{32}$"})
]
UserName = Annotated[
    str, BeforeValidator(parse_stripped_text), Field(min_length=1, max_length=limits.USER_ID_CHARS)
]
UserId = Annotated[
    UserName | None,
    BeforeValidator(_strict_string),
    Field(default=None, description="Who speaks; with `db_id` the conversation has memory."),
]


class OfficeRequest(BaseModel):
    """A question to the office assistant."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"input_data": "안녕하세요!", "user_id": "test_user"}]},
    )

    input_data: InputText
    google_access: StrictBool = Field(False, description="Ground the answer in a web search.")
    db_id: DbId = None
    user_id: UserId = None


class StoredChoice(BaseModel):
    """Which stored character plays, and with whom."""

    character_id: CharacterId | None = Field(
        None, description="A stored character of this user, instead of a described one."
    )
    greeting_index: Annotated[int, Field(strict=True, ge=0, le=limits.GREETING_INDEX)] = Field(
        0, description="Which greeting of a stored character began the conversation."
    )
    user_name: Annotated[
        str, BeforeValidator(parse_stripped_text), Field(max_length=limits.USER_NAME_CHARS)
    ] = Field("", description="What a stored character calls the user (`{{user}}`).")


class _Missing:
    """Stands where a field was not sent."""


def _given(value: object) -> object:
    if isinstance(value, _Missing):
        raise PydanticCustomError("missing", "required")
    return value


def _no_default(schema: dict[str, Any]) -> None:
    del schema["default"]


def _described(max_length: int) -> Any:
    """A text that is needed unless `character_id` is given."""
    return Field("", max_length=max_length, json_schema_extra=_no_default)


DESCRIBED = ("character_name", "greeting", "context")
NeededText = Annotated[Text, BeforeValidator(_given)]
#: One of the two, as a JSON schema says it.
ONE_CHARACTER: dict[str, Any] = {
    "anyOf": [{"required": list(DESCRIBED)}, {"required": ["character_id"]}]
}


class CharacterFields(StoredChoice):
    """The character that a caller describes, or the stored one that it names."""

    model_config = ConfigDict(json_schema_extra=ONE_CHARACTER)

    character_name: NeededText = _described(limits.CHARACTER_NAME_CHARS)
    greeting: NeededText = _described(limits.GREETING_CHARS)
    context: NeededText = _described(limits.CONTEXT_CHARS)

    @model_validator(mode="before")
    @classmethod
    def _one_of_the_two(cls, body: Any) -> Any:
        if isinstance(body, dict) and body.get("character_id") is None:
            return dict.fromkeys(DESCRIBED, _Missing()) | body
        return body

    @property
    def character(self) -> Character | None:
        """The described one; None where a stored one plays."""
        if self.character_id is not None:
            return None
        return Character(self.character_name, self.greeting, self.context)


class CharacterRequest(CharacterFields):
    """A line to a character that the caller describes."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            **ONE_CHARACTER,
            "examples": [
                {
                    "input_data": "안녕하세요!",
                    "character_name": "AI Assistant",
                    "greeting": "안녕하세요! 반갑습니다.",
                    "context": "친근한 AI 어시스턴트",
                    "db_id": "test-uuid",
                    "user_id": "test_user",
                }
            ],
        },
    )

    input_data: InputText
    db_id: DbId = None
    user_id: UserId = None
