"""OpenAI's models, or any server that OPENAI_BASE_URL points at, through the official SDK."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx2

from chatbot_ai.domain import prompt_texts
from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.deadline import SystemClock, within_deadline
from chatbot_ai.domain.errors import (
    BackendNotConfigured,
    BackendProtocolError,
    BackendUnavailable,
    ChatbotError,
    InvalidRequest,
)
from chatbot_ai.domain.generation import (
    Finished,
    GenerationEvent,
    GenerationRequest,
    Restarted,
    TextDelta,
    Usage,
    upper_bound,
)
from chatbot_ai.domain.thoughts import ThoughtFilter
from chatbot_ai.llm.chat_protocol import (
    THOUGHT_FIELDS,
    UNREADABLE,
    ThoughtHabit,
    checked_text,
    read_finish_reason,
    refuse_empty_answer,
    request_body,
    retry_after_s,
)
from chatbot_ai.llm.refusals import RETRY_AFTER_S, read_refusal

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

CLOCK = SystemClock()
#: What the SDK repeats by itself: nothing. It would sleep through a Retry-After of up to a minute
#: while the request holds a place that others wait for.
SDK_RETRIES = 0
#: How models are told the longest answer: the old way, and the only one of newer models.
OLD_LIMIT, NEW_LIMIT = "max_tokens", "max_completion_tokens"
#: OpenAI's code for a parameter that a model does not have (API reference, error codes).
UNSUPPORTED = "unsupported_parameter"
CONTINUE = Message("user", prompt_texts.CONTINUE)
#: Seconds without an event after which a stream counts as stalled.
STALL_TIMEOUT_S = 45.0


class _End:
    """Behind the last chunk of a stream, in which null may be a chunk."""


class OpenAIModel:
    """A ChatModel behind the official SDK. Without a key every call is BackendNotConfigured, and
    the SDK, whose import takes as long as all the rest of a service's, is not loaded.

    thinks  as in LlamaModel
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None,
        base_url: str | None,
        context_tokens: int,
        thinks: bool | None = False,
    ) -> None:
        self.name = model
        self.context_tokens = context_tokens
        self._at_openai = base_url is None
        self._limit_name = OLD_LIMIT
        self._habit = ThoughtHabit(thinks)
        self._sdk: AsyncOpenAI | None = None
        #: Why the set-up cannot be used, though it is there.
        self.broken: Exception | None = None
        if api_key or base_url:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # noqa: PLC0415

            # a compatible server of the team's own may close a connection right after a stream
            # in spite of its keep-alive header, as llama.cpp's does: each call takes a fresh one
            fresh = {} if base_url is None else {"Connection": "close"}
            try:
                self._sdk = AsyncOpenAI(
                    http_client=DefaultAsyncHttpxClient(headers=fresh),
                    api_key=api_key or "none",
                    base_url=base_url,
                    max_retries=SDK_RETRIES,
                    timeout=STALL_TIMEOUT_S,
                )
            except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
                # a proxy or a certificate file that a variable names, an address of another kind
                self.broken = error

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        sdk = self._require_sdk()
        reason = None
        usage = Usage()
        began = time.monotonic()
        first: float | None = None
        thoughts = ThoughtFilter(self._habit.thinks)
        has_text = False
        async with _translate_errors(request, self.context_tokens):
            chunks = await self._open_stream(sdk, request)
            async with chunks:
                events = aiter(chunks)
                while True:
                    async with within_deadline(CLOCK, request.deadline, "generation"):
                        chunk = await anext(events, _End())
                    if isinstance(chunk, _End):
                        break
                    if chunk is None:
                        # some proxies send null to keep a line open
                        continue  # type: ignore[unreachable]
                    if chunk.usage:
                        usage = _usage(chunk.usage)
                    for choice in (chunk.choices or [])[:1]:
                        reason = read_finish_reason(choice.finish_reason) or reason
                        extra = (choice.delta and choice.delta.model_extra) or {}
                        if any(extra.get(name) for name in THOUGHT_FIELDS):
                            thoughts.split_elsewhere()
                        if not choice.delta or not choice.delta.content:
                            continue
                        first = first or time.monotonic()
                        if text := thoughts.feed(checked_text(choice.delta.content)):
                            has_text = True
                            yield TextDelta(text)
        if rest := thoughts.finish(reason):
            has_text = True
            yield TextDelta(rest)
        self._habit.learn(thoughts, reason, request)
        answer = thoughts.clean()
        shows_thoughts = not request.whole and answer not in ("", thoughts.passed)
        if request.whole and answer != thoughts.passed:
            has_text = bool(answer)
            yield Restarted()
            if answer:
                yield TextDelta(answer)
        if reason is None and not has_text:
            raise BackendProtocolError("the stream ended without a finish reason")
        refuse_empty_answer(has_text, request)
        yield Finished(
            reason=reason or "stop",
            usage=usage,
            model=self.name,
            prefill_s=(first or time.monotonic()) - began,
            generation_s=time.monotonic() - (first or began),
            shows_thoughts=shows_thoughts,
        )

    async def _open_stream(
        self, sdk: AsyncOpenAI, request: GenerationRequest
    ) -> AsyncStream[ChatCompletionChunk]:
        """The answer's stream. A connection that fails, or a server that stumbles without saying
        when to come back, is tried once more, at once; a limited rate never is."""
        import openai  # noqa: PLC0415 - loaded by now, see OpenAIModel

        if request.messages[-1].role == "assistant":
            request = replace(request, messages=(*request.messages, CONTINUE))
        may_repeat = True
        while True:
            body = request_body(request, model=self.name, llama=False)
            if OLD_LIMIT in body:
                body[self._limit_name] = body.pop(OLD_LIMIT)
            creating = sdk.chat.completions.create(
                **body, stream=True, stream_options={"include_usage": True}
            )
            try:
                async with within_deadline(CLOCK, request.deadline, "generation"):
                    opened: AsyncStream[ChatCompletionChunk] = await creating
                    return opened
            except openai.BadRequestError as error:
                if self._limit_name == NEW_LIMIT or not _wants_new_limit(error):
                    raise
                self._limit_name = NEW_LIMIT  # and so for every later request to this model
            except openai.APITimeoutError:
                raise  # it has cost the caller's patience already
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                if not may_repeat or _says_when(error):
                    raise
                may_repeat = False

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """An upper bound, as the protocol has no counting call.

        For OpenAI's own models one token per non-ASCII character (Hangul measures 0.6 to 0.96 with
        o200k) and one per two ASCII ones, plus 8 a message. Another server's tokeniser is unknown:
        small models need up to three tokens for a Hangul syllable, one per byte of UTF-8.
        """
        if not self._at_openai:
            return upper_bound(messages)
        total = 0
        for message in messages:
            ascii_count = sum(c.isascii() for c in message.content)
            total += len(message.content) - ascii_count + (ascii_count + 1) // 2 + 8
        return total

    async def check(self) -> None:
        self._require_sdk()

    async def close(self) -> None:
        if self._sdk is not None:
            await self._sdk.close()

    def _require_sdk(self) -> AsyncOpenAI:
        if self.broken is not None:
            raise BackendNotConfigured("OpenAI models are off: see /readyz", 60) from self.broken
        if self._sdk is None:
            raise BackendNotConfigured("OPENAI_API_KEY is not set", 60)
        return self._sdk


def _usage(usage: Any) -> Usage:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    return Usage(int(usage.prompt_tokens or 0), int(cached), int(usage.completion_tokens or 0))


@asynccontextmanager
async def _translate_errors(request: GenerationRequest, limit_tokens: int) -> AsyncIterator[None]:
    """The SDK's errors, once, by type."""
    import openai  # noqa: PLC0415 - loaded by now, see OpenAIModel

    try:
        yield
    except openai.APIStatusError as error:
        raise _read_refusal(error, request, limit_tokens) from error
    except openai.APIConnectionError as error:
        raise BackendUnavailable("the remote model cannot be reached") from error
    except (openai.APIError, *UNREADABLE) as error:
        raise BackendProtocolError("the remote model sent nonsense") from error


def _wants_new_limit(error: APIStatusError) -> bool:
    return error.param == OLD_LIMIT and error.code == UNSUPPORTED


def _says_when(error: Exception) -> bool:
    response = getattr(error, "response", None)
    return response is not None and "retry-after" in response.headers


def _read_refusal(
    error: APIStatusError, request: GenerationRequest, limit_tokens: int
) -> ChatbotError:
    """What a refusal means. The same request would be refused again where it is the caller's: no
    outage, and the server may say what it is about.

    Its parameter is passed on if it looks like one; its message, in which anything may stand, is
    not.
    """
    wait_s = retry_after_s(error.response.headers.get("retry-after"), RETRY_AFTER_S)
    if error.status_code >= 500:
        return BackendUnavailable("the remote model fails", wait_s)
    read = read_refusal(
        error.status_code,
        {"error": error.body},
        replace(request, response_format=None),
        limit_tokens,
        wait_s,
    )
    if error.status_code not in (400, 422) or isinstance(read, InvalidRequest):
        return read
    named = isinstance(error.param, str) and re.fullmatch(r"[A-Za-z][\w.\[\]]{0,63}", error.param)
    param = error.param if named else "model"
    return InvalidRequest(str(param), "model_refused_request", param=param)
