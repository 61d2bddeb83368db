"""What the pipeline knows of one exchange while it is under way."""

from __future__ import annotations

from dataclasses import dataclass

from chatbot_ai.core.exchange import ChatRequest, Progress
from chatbot_ai.core.references import Gathering
from chatbot_ai.core.search_query import Asked
from chatbot_ai.domain.conversation import ConversationKey, Turn
from chatbot_ai.domain.ports import ChatModel


@dataclass(slots=True)
class Attempt:
    """One exchange under way; `again` is the turn that is answered anew, if it is one, `reserve`
    the tokens that the answer may take, and `sees_sources` whether earlier turns have any."""

    asked: Asked
    key: ConversationKey | None
    progress: Progress
    reserve: int
    again: Turn | None = None
    sees_sources: bool = False
    gathering: Gathering | None = None

    @property
    def model(self) -> ChatModel:
        return self.asked.model

    @property
    def request(self) -> ChatRequest:
        return self.asked.request

    @property
    def is_checked(self) -> bool:
        """Whether source numbers without a source are taken out of the answer: where the model has
        seen any, this answer's or earlier ones. A bracket in JSON is no citation."""
        seen = self.request.search or self.sees_sources or bool(self.progress.grounded.sources)
        return seen and self.request.response_format is None

    @property
    def was_interrupted(self) -> bool:
        """Whether a stream with memory has shown something that is to be stored though it broke
        off. A broken edit is not: turns give way to an answer, not to a piece of one."""
        return (
            self.key is not None
            and self.request.stream
            and self.request.mode != "edit"
            and bool(self.progress.text)
            and self.progress.finished is None
        )

    @property
    def key_in_use(self) -> ConversationKey:
        if self.key is None:
            raise AssertionError("only a conversation with memory can be interrupted")
        return self.key
