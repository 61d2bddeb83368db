"""What is asked of a model and what it streams back. Pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chatbot_ai.domain.conversation import FinishReason, Message

#: Tokens that a chat template adds around one message, at most. Largest seen: 12 (Llama 3.1
#: `<|start_header_id|>assistant<|end_header_id|>`, two newlines and `<|eot_id|>` are 5 or 6).
TEMPLATE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. None leaves the choice to the model's server.

    temperature 0 to 2; top_p in (0, 1]; repeat_penalty 1 is off; max_tokens per answer;
    seed fixes the draw; stop ends the answer where one of the strings would begin; the presence
    and frequency penalties are from -2 to 2, 0 is off.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    def merge(self, wished: Sampling, most_tokens: int) -> Sampling:
        """What `wished` says where it says something, else this; at most `most_tokens` long."""
        names = self.__dataclass_fields__
        own = {name: getattr(self, name) for name in names}
        said = {name: getattr(wished, name) for name in names}
        own |= {name: value for name, value in said.items() if value not in (None, ())}
        merged = Sampling(**own)
        return replace(merged, max_tokens=min(merged.max_tokens or most_tokens, most_tokens))


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt for one answer.

    deadline  on the monotonic clock, in seconds
    whole     nobody sees the deltas as they come, so an answer that fails half-way may be
              generated again
    backups   another model or another try may stand in; no: an answer is not worth the time
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    deadline: float
    whole: bool = False
    backups: bool = True
    response_format: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of text: whole characters, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer; `cached_tokens` of the prompt came from the prefix cache."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream. `model` is the name of the model that really answered.

    prefill_s and generation_s are the server's own measurements, 0 where it tells none;
    shows_thoughts: the deltas begin with thoughts, which only their end told from the answer.
    """

    reason: FinishReason
    usage: Usage
    model: str
    prefill_s: float = 0.0
    generation_s: float = 0.0
    backup: bool = False
    shows_thoughts: bool = False


@dataclass(frozen=True, slots=True)
class Restarted:
    """All deltas so far are void: a backup starts over. Only for requests with `whole`."""


GenerationEvent = TextDelta | Restarted | Finished


def upper_bound(messages: Sequence[Message]) -> int:
    """Tokens that `messages` cannot exceed: a token is at least one byte of UTF-8."""
    return sum(len(m.content.encode()) + TEMPLATE_TOKENS for m in messages) + TEMPLATE_TOKENS


def likely_tokens(text: str) -> int:
    """A guess at the tokens of `text`, where a count is not worth a call: one for each character
    outside ASCII (Hangul takes 0.6 to 1 in vocabularies that know it), half a one for the rest."""
    foreign = len(text) - len(text.encode("ascii", "ignore"))
    return foreign + (len(text) - foreign + 1) // 2
