"""The body of POST /v1/chat/completions, as OpenAI's clients send it.

What cannot be done here (tools, several choices, pictures, log probabilities) is refused with the
name of the parameter, never passed over in silence; what changes nothing is passed over.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    StrictBool,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from chatbot_ai.api.response_format import ResponseFormat
from chatbot_ai.api.schemas import StoredChoice, parse_text
from chatbot_ai.domain import limits
from chatbot_ai.domain.generation import Sampling

#: Seeds of llama.cpp are 32 bits wide, and its largest means "choose one".
SEEDS = 2**32 - 1
#: Parameters that would change the answer and that nothing here can do; falsy values ask nothing.
UNSUPPORTED = ("tools", "functions", "logprobs", "top_logprobs", "logit_bias", "audio")


def _unsupported() -> PydanticCustomError:
    return PydanticCustomError("unsupported", "not supported")


def _bound_list(most: int) -> BeforeValidator:
    """Refuse a longer list before anything is done for each of its items."""

    def check(value: object) -> object:
        if isinstance(value, list) and len(value) > most:
            raise PydanticCustomError("too_many", "too many items", {"max_length": most})
        return value

    return BeforeValidator(check)


def _content(value: object) -> object:
    """One text of a string or of text parts."""
    if isinstance(value, list):
        texts = []
        for part in value:
            if not isinstance(part, dict) or part.get("type") != "text":
                raise _unsupported()
            if not isinstance(part.get("text"), str):
                raise PydanticCustomError("string_type", "not a string")
            texts.append(part["text"])
        value = "\n".join(texts)
    return parse_text(value)


def _stops(value: object) -> object:
    if value is None:
        return ()
    given = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in given):
        raise PydanticCustomError("string_type", "not a string")
    return tuple(dict.fromkeys(parse_text(one) for one in given if one))


Content = Annotated[
    str,
    BeforeValidator(_content),
    _bound_list(limits.MESSAGES),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["type", "text"],
                        "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                    },
                },
            ]
        }
    ),
]
Stops = Annotated[
    tuple[str, ...],
    BeforeValidator(_stops),
    _bound_list(limits.STOP_STRINGS),
    Field(max_length=limits.STOP_STRINGS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "maxItems": limits.STOP_STRINGS},
                {"type": "null"},
            ]
        }
    ),
]
PlainText = Annotated[str, BeforeValidator(parse_text)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(strict=True, ge=-2, le=2, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


class ChatMessage(BaseModel):
    """One message of the conversation that the caller keeps."""

    model_config = ConfigDict(json_schema_extra={"required": ["role", "content"]})

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | None = Field(None, validate_default=True)

    @field_validator("content", mode="before")
    @classmethod
    def _only_the_assistant_is_silent(cls, value: object, known: ValidationInfo) -> object:
        if value is None and known.data.get("role") != "assistant":
            raise PydanticCustomError("text_missing", "no text")
        return value


class StreamOptions(BaseModel):
    """What a stream tells besides its text."""

    include_usage: StrictBool | None = False


class ChatCompletionRequest(StoredChoice):
    """A chat completion. What changes nothing here (`store`, `metadata` …) may be sent."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {"model": "Llama", "messages": [{"role": "user", "content": "안녕하세요!"}]}
            ]
        },
    )

    model: Annotated[
        PlainText,
        Field(min_length=1, max_length=limits.OPENAI_MODEL_CHARS, description="Alias or name."),
    ]
    messages: Annotated[
        list[ChatMessage],
        FailFast(),
        Field(min_length=1, max_length=limits.MESSAGES),
        _bound_list(limits.MESSAGES),
    ]
    stream: StrictBool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(strict=True, ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Share | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = Field(None, description="Wins over `max_tokens`.")
    stop: Stops = ()
    seed: Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    n: Annotated[int, Field(strict=True, ge=1, le=1, description="Only 1.")] | None = None
    response_format: ResponseFormat = None
    user: Annotated[PlainText, Field(max_length=limits.OPENAI_USER_CHARS)] | None = Field(
        None, description="Your user, for fairness in the queue."
    )
    web_search: StrictBool | None = Field(
        False, description="Ground the answer in a web search; an extension of ours."
    )
    web_search_options: dict[str, Any] | None = Field(
        None, description="OpenAI's way to ask for a web search; its fields are passed over."
    )

    @model_validator(mode="before")
    @classmethod
    def _only_what_we_can(cls, body: Any) -> Any:
        if isinstance(body, dict):
            for name in UNSUPPORTED:
                if body.get(name):
                    raise PydanticCustomError("unsupported_parameter", name, {"parameter": name})
        return body

    @model_validator(mode="after")
    def _somebody_speaks(self) -> ChatCompletionRequest:
        if all(m.role in ("system", "developer") or m.content is None for m in self.messages):
            raise PydanticCustomError("nobody_speaks", "messages", {"parameter": "messages"})
        return self

    @property
    def searches(self) -> bool:
        return bool(self.web_search) or self.web_search_options is not None

    def sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            # 0 would leave no token to choose from; so small a share leaves the likeliest
            top_p=None if self.top_p is None else max(self.top_p, 0.001),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            seed=None if self.seed is None else self.seed % SEEDS,
            stop=self.stop,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
        )
