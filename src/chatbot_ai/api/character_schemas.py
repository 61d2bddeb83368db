"""What the character routes take and give."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from chatbot_ai.api.schemas import parse_stripped_text
from chatbot_ai.cards import CardWarning, CharacterCard
from chatbot_ai.cards.errors import CardError
from chatbot_ai.domain import limits
from chatbot_ai.domain.character import StoredCharacter
from chatbot_ai.messages import Language, get_message

#: As POST /Llama takes them; a longer card is kept whole and cut only by its owner.
Name = Annotated[
    str,
    BeforeValidator(parse_stripped_text),
    Field(min_length=1, max_length=limits.CHARACTER_NAME_CHARS),
]
Greeting = Annotated[
    str, BeforeValidator(parse_stripped_text), Field(max_length=limits.GREETING_CHARS)
]
Context = Annotated[
    str, BeforeValidator(parse_stripped_text), Field(max_length=limits.CONTEXT_CHARS)
]


class CharacterChanges(BaseModel):
    """Fields of a character; what is not sent stays as it is."""

    model_config = ConfigDict(extra="ignore")

    name: Name | None = None
    greeting: Greeting | None = None
    context: Context | None = Field(None, description="Who the character is; V2 `description`.")
    alternate_greetings: list[Greeting] | None = Field(None, max_length=limits.ALTERNATE_GREETINGS)
    creator_notes: Context | None = Field(None, description="For readers, never in a prompt.")
    picture: str | None = Field(
        None, description="PNG, JPEG, WebP or GIF in base64; an empty string removes it."
    )

    def card_fields(self) -> dict[str, object]:
        """The fields that were sent, under the card's own names."""
        names = {"greeting": "first_mes", "context": "description"}
        sent = self.model_dump(exclude_none=True, exclude={"picture"})
        return {names.get(key, key): value for key, value in sent.items()}

    def picture_bytes(self) -> bytes | None:
        """The picture that was sent, b"" for its removal, None where none was sent."""
        if self.picture is None:
            return None
        try:
            return base64.b64decode(self.picture, validate=True)
        except (binascii.Error, ValueError) as error:
            raise CardError("picture_damaged") from error


class NewCharacter(CharacterChanges):
    """A character that is made here."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {"name": "하늘", "greeting": "왔구나!", "context": "밝고 수다스러운 친구."}
            ]
        },
    )

    name: Name


class CharacterLine(BaseModel):
    """One line of the list. Times are Unix seconds."""

    id: str
    name: str
    tagline: str
    has_picture: bool
    created_at: float
    updated_at: float


class CharacterList(BaseModel):
    """Newest change first; pass `before` to read on, null at the end."""

    characters: list[CharacterLine]
    before: float | None


class CharacterView(CharacterLine):
    """A character with what people read and edit of its card."""

    spoken_name: str = Field(description="What {{char}} becomes: the nickname, else the name.")
    greeting: str
    alternate_greetings: list[str]
    context: str
    personality: str
    scenario: str
    creator_notes: str
    creator: str
    character_version: str
    tags: list[str]
    card_version: int
    warnings: list[str] = []


class CharacterPrompt(BaseModel):
    """What POST /Llama takes, made from the card."""

    character_name: str
    greeting: str
    context: str
    greetings: int = Field(description="How many greetings there are to choose from.")


def build_view(
    character: StoredCharacter, language: Language, warnings: tuple[CardWarning, ...] = ()
) -> CharacterView:
    """The character for its owner; warnings are sentences in `language`."""
    card = CharacterCard.from_text(character.sheet.card)
    return CharacterView(
        id=character.id,
        name=card.name,
        spoken_name=card.spoken_name,
        tagline=character.sheet.tagline,
        has_picture=character.sheet.picture is not None,
        created_at=character.created_at,
        updated_at=character.updated_at,
        greeting=card.first_mes,
        alternate_greetings=list(card.alternate_greetings),
        context=card.description,
        personality=card.personality,
        scenario=card.scenario,
        creator_notes=card.creator_notes_in(language),
        creator=card.creator,
        character_version=card.character_version,
        tags=list(card.tags),
        card_version=card.version,
        warnings=[
            get_message(f"cards.warning.{warning.notice}", language, **warning.params)
            for warning in warnings
        ],
    )
