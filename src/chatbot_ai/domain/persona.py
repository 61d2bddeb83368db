"""Personas: what an assistant is told about itself. Pure values; files are read elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.generation import Sampling
from chatbot_ai.domain.prompt_texts import PROMPT_TEXTS, USER_NAMES, PromptLanguage, PromptTexts

_PLACEHOLDER = re.compile(r"\{\{\s*(char|user|greeting|context)\s*\}\}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Character:
    """The character that a caller describes."""

    name: str
    greeting: str
    context: str


@dataclass(frozen=True, slots=True)
class Persona:
    """One assistant's instructions and sampling for one kind of model.

    system     the system prompt; {{char}}, {{user}}, {{greeting}}, {{context}} are filled in
    reference  how references (search results, time) stand beside the newest input;
               `{{references}}` and `{{input}}` are filled in
    user_name  what `{{user}}` becomes where the caller gives no name
    language   that it is written in, and with it our other texts in the prompt
    english    the same persona for a model that speaks no Korean, if there is one
    """

    assistant: Assistant
    name: str
    system: str
    greeting: str = ""
    reference: str = "{{input}}\n\n{{references}}"
    user_name: str = USER_NAMES["ko"]
    sampling: Sampling = field(default_factory=Sampling)
    language: PromptLanguage = "ko"
    english: Persona | None = None

    @property
    def texts(self) -> PromptTexts:
        """Our texts around the conversation, in this persona's language."""
        return PROMPT_TEXTS[self.language]

    def choose_for(self, languages: Collection[str]) -> Persona:
        """The persona for a model that speaks `languages` (ISO 639-1; empty: unknown): the English
        one where that is English alone. A model of many languages knows some Korean too, whatever
        it names."""
        return self.english if self.english and set(languages) == {"en"} else self

    def system_prompt(self, character: Character | None) -> str:
        """The system prompt with its placeholders filled, each once: filled-in text is not
        searched again, so a caller's text cannot smuggle placeholders in."""
        name = character.name if character else self.name
        own = {"char": name, "user": self.user_name}

        def inner(text: str) -> str:
            return _PLACEHOLDER.sub(lambda m: own.get(m.group(1).lower(), m.group(0)), text)

        values = dict(own)
        values["greeting"] = inner(character.greeting if character else self.greeting)
        values["context"] = inner(character.context) if character else ""
        return _PLACEHOLDER.sub(lambda m: values[m.group(1).lower()], self.system)
