"""The OpenAI chat format: what a request body and a streamed chunk mean."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from chatbot_ai.domain.conversation import FinishReason
from chatbot_ai.domain.errors import BackendProtocolError, EmptyAnswer
from chatbot_ai.domain.generation import GenerationRequest, Sampling, Usage
from chatbot_ai.domain.thoughts import ThoughtFilter

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "limit": "length",
    "tool_calls": "stop",
    "content_filter": "stop",
}

#: What reading JSON of another shape than expected raises: beside the obvious, a number too large
#: for a float and nesting too deep for the parser.
UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
)
#: A server that asks for more patience than this gets asked again all the same.
LONGEST_RETRY_S = 3600.0
#: A character may take four tokens, one for each byte of UTF-8.
LEAST_TOKENS_OF_TEXT = 5
#: Where servers put thoughts that they tell apart: llama.cpp, vLLM and DeepSeek; others.
THOUGHT_FIELDS = ("reasoning_content", "reasoning")
#: A model's name beyond this is no name.
LONGEST_NAME = 200


#: Sampling that llama.cpp and OpenAI name alike.
SHARED_SAMPLING = (
    "temperature",
    "top_p",
    "seed",
    "max_tokens",
    "presence_penalty",
    "frequency_penalty",
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a streamed answer; everything in it is optional. `thinks` says that it holds
    thoughts, which the server tells apart from the answer."""

    text: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    prefill_s: float = 0.0
    generation_s: float = 0.0
    model: str | None = None
    thinks: bool = False


def request_body(request: GenerationRequest, *, model: str | None, llama: bool) -> dict[str, Any]:
    """The JSON body of a chat completion.

    llama adds llama.cpp's own fields (repeat penalty, top-k, prefix cache), which OpenAI refuses.
    """
    sampling = request.sampling
    body: dict[str, Any] = {"messages": [asdict(m) for m in request.messages]}
    if model:
        body["model"] = model
    for name in SHARED_SAMPLING:
        if (value := getattr(sampling, name)) is not None:
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.response_format:
        body["response_format"] = request.response_format
    if llama:
        body["cache_prompt"] = True
        for name in ("top_k", "min_p", "repeat_penalty"):
            if (value := getattr(sampling, name)) is not None:
                body[name] = value
    return body


def parse_chunk(data: str) -> Chunk:
    """Read one `data` of the stream. Raises BackendProtocolError where it makes no sense."""
    try:
        return _read(json.loads(data))
    except UNREADABLE as error:
        raise BackendProtocolError("the model's server sent an unreadable chunk") from error


def checked_text(value: Any) -> str:
    """`value` if it is text that can be passed on. Raises TypeError or UnicodeEncodeError.

    JSON may hold half a surrogate pair, which is no character and which UTF-8 cannot carry.
    """
    if not isinstance(value, str):
        raise TypeError("content is no string")
    value.encode()
    return value


def refuse_empty_answer(has_text: bool, request: GenerationRequest) -> None:
    """Raise EmptyAnswer where an answer has no text.

    A continued one may have no more to say, and a few tokens may be less than one character.
    """
    may_be_empty = request.messages[-1].role == "assistant" or (
        request.sampling.max_tokens is not None
        and request.sampling.max_tokens < LEAST_TOKENS_OF_TEXT
    )
    if not has_text and not may_be_empty:
        raise EmptyAnswer("the model ended its answer without text")


def is_new_answer(request: GenerationRequest) -> bool:
    """Whether the template's generation prompt stands before the answer; not behind a begun one."""
    return request.messages[-1].role != "assistant"


class ThoughtHabit:
    """Whether a model's answers begin inside a thought.

    told  what its template says, which is final; None leaves it to the answers. All callers share
          it, so one that looks like thoughts, as a user can ask for, is not believed: two in a row
          are, until one comes that does not
    """

    def __init__(self, told: bool | None) -> None:
        self.thinks = told
        self._is_final = told is not None
        self._in_a_row = 0

    def learn(
        self, thoughts: ThoughtFilter, reason: FinishReason | None, request: GenerationRequest
    ) -> None:
        """Learn from an answer that has ended, unless the caller shaped its beginning or end."""
        is_shaped = reason == "length" or request.response_format or not is_new_answer(request)
        if self._is_final or is_shaped or not thoughts.passed:
            return
        if not thoughts.began_inside:
            self.thinks, self._in_a_row = False, 0
            return
        self._in_a_row += 1
        if self._in_a_row > 1:
            self.thinks = True


def retry_after_s(header: str | None, default_s: float) -> float:
    """The seconds of a Retry-After header, within an hour; `default_s` for a date or nonsense."""
    if header is None or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", header):
        return default_s
    return min(max(float(header), 1.0), LONGEST_RETRY_S)


def read_finish_reason(value: str | None) -> FinishReason | None:
    """Our name for a server's reason, in any case; one that nobody knows ends an answer as well."""
    return FINISH_REASONS.get(value.lower(), "stop") if value else None


def _read(body: Any) -> Chunk:
    if body is None:
        return Chunk()  # some proxies send it to keep a line open
    if body.get("error"):
        raise BackendProtocolError("the model's server reported an error in mid-stream")
    choices = body.get("choices") or []
    text, reason, thinks = "", None, False
    if choices and choices[0]:
        part = choices[0].get("delta") or choices[0].get("message") or {}
        text = checked_text(part.get("content") or "")
        thinks = any(part.get(name) for name in THOUGHT_FIELDS)
        reason = read_finish_reason(choices[0].get("finish_reason"))
    timings = body.get("timings") or {}
    return Chunk(
        text=text,
        finish_reason=reason,
        usage=_usage(body.get("usage"), timings),
        prefill_s=float(timings.get("prompt_ms") or 0.0) / 1000,
        generation_s=float(timings.get("predicted_ms") or 0.0) / 1000,
        model=_model(body.get("model")),
        thinks=thinks,
    )


def _model(value: Any) -> str | None:
    """A name that can be a header and a field of an answer; None for anything else."""
    fine = isinstance(value, str) and value.isprintable() and len(value) <= LONGEST_NAME
    return value or None if fine else None


def _usage(usage: Any, timings: Any) -> Usage | None:
    if not usage:
        return None
    details = usage.get("prompt_tokens_details") or {}
    cached = details.get("cached_tokens") or timings.get("cache_n") or 0
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return Usage(int(prompt), int(cached), int(completion))


#: Sampling of the backup answer. Source: the specification, section 4.
BACKUP_TOKENS = 1024
BACKUP_SAMPLING = Sampling(
    temperature=0.7, top_p=0.9, repeat_penalty=1.08, max_tokens=BACKUP_TOKENS, stop=("<|eot_id|>",)
)
