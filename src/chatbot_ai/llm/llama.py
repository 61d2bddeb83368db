"""The client of a llama.cpp server, ours or any other one that speaks the OpenAI format."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, replace
from typing import Any, TypeVar

import httpx2

from chatbot_ai.domain.conversation import Message
from chatbot_ai.domain.deadline import SystemClock, within_deadline
from chatbot_ai.domain.errors import (
    BackendProtocolError,
    BackendUnavailable,
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
    BACKUP_SAMPLING,
    BACKUP_TOKENS,
    UNREADABLE,
    Chunk,
    ThoughtHabit,
    is_new_answer,
    parse_chunk,
    refuse_empty_answer,
    request_body,
    retry_after_s,
)
from chatbot_ai.llm.json_poster import JsonPoster, split_socket
from chatbot_ai.llm.refusals import CALLERS, RETRY_AFTER_S, read_refusal, read_template_reason
from chatbot_ai.llm.sse import EventTooLong, SseDecoder

Kind = TypeVar("Kind")
CLOCK = SystemClock()

#: Seconds to connect on the operator's own network.
CONNECT_TIMEOUT_S = 3.0
#: Seconds without a byte after which a generation counts as stalled.
STALL_TIMEOUT_S = 60.0
#: Seconds that the question may take why a request was refused.
TEMPLATE_TIMEOUT_S = 5.0
#: Statuses of a server that does not have an endpoint.
ABSENT = (404, 405, 501)


class LlamaModel:
    """A ChatModel over HTTP.

    base_url        http(s)://…, or unix:/path of a socket file
    name            what answers report
    context_tokens  per conversation, as the engine was started
    remote_model    the `model` field to send, for servers that want one
    thinks          whether its answers begin inside a thought; None: its first one will tell
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        context_tokens: int,
        api_key: str | None = None,
        remote_model: str | None = None,
        thinks: bool | None = False,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx2.Timeout(STALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # a TLS context takes 80 ms to make, twice, at every start; on plain HTTP nobody uses it
        verify = base_url.lower().startswith("https:")
        base_url, socket_file = split_socket(base_url)
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        self._remote_model = remote_model
        self._counting = 0
        self._habit = ThoughtHabit(thinks)
        self.name = name
        self.context_tokens = context_tokens
        self._http = httpx2.AsyncClient(
            base_url=self._base_url,
            headers=headers,
            timeout=timeout,
            trust_env=False,
            verify=verify,
            transport=httpx2.AsyncHTTPTransport(uds=socket_file) if socket_file else None,
        )
        self._answers = JsonPoster(
            f"{self._base_url}/v1/chat/completions",
            headers,
            timeout=timeout,
            verify=verify,
            socket_file=socket_file,
        )

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        body = request_body(request, model=self._remote_model, llama=True)
        # llama.cpp notices that a reader has left when it writes to it, so it is to report each
        # batch of the prompt; without, one who leaves during a prefill is served to its end
        body |= {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
        last = Chunk()
        usage = Usage()
        decoder = SseDecoder()
        thoughts = self._filter_thoughts(request)
        has_text = is_complete = False
        async with self._translate_errors():
            async with within_deadline(CLOCK, request.deadline, "generation"):
                response = await self._answers.send(body)
            async with aclosing(response):
                await self._raise_for_status(response, request)
                pieces = response.aiter_raw()
                is_open = True
                while is_open:
                    # the limit is on each read, never across a yield: a timeout that fires while
                    # the consumer is at work would cancel the consumer
                    async with within_deadline(CLOCK, request.deadline, "generation"):
                        piece = await anext(pieces, None)
                    if piece is None:
                        break
                    for data in decoder.feed(piece):
                        if data == "[DONE]":
                            is_open, is_complete = False, True
                            break
                        chunk = parse_chunk(data)
                        if chunk.thinks:
                            thoughts.split_elsewhere()
                        if chunk.text and (text := thoughts.feed(chunk.text)):
                            has_text = True
                            yield TextDelta(text)
                        usage = chunk.usage or usage
                        if chunk.finish_reason or chunk.usage:
                            last = replace(
                                chunk,
                                finish_reason=chunk.finish_reason or last.finish_reason,
                                model=chunk.model or last.model,
                            )
        if rest := thoughts.finish(last.finish_reason):
            has_text = True
            yield TextDelta(rest)
        self._habit.learn(thoughts, last.finish_reason, request)
        answer = thoughts.clean()
        shows_thoughts = not request.whole and answer not in ("", thoughts.passed)
        if request.whole and answer != thoughts.passed:
            has_text = bool(answer)
            yield Restarted()
            if answer:
                yield TextDelta(answer)
        if last.finish_reason is None and not (has_text and is_complete):
            raise BackendProtocolError("the stream ended without a finish reason")
        refuse_empty_answer(has_text, request)
        yield replace(self._build_end(last, usage), shows_thoughts=shows_thoughts)

    async def complete(self, request: GenerationRequest) -> tuple[str, Finished]:
        """The same prompt in one piece, with the sampling of backup answers.

        No longer than the request's own answer may be, nor than what the prompt leaves of the
        context; the request's stop strings count beside the backup's. Nothing comes until the
        answer is whole, so silence is no sign of a stall and only the deadline ends the wait.
        """
        own = request.sampling
        longest = min(own.max_tokens or BACKUP_TOKENS, BACKUP_TOKENS)
        sampling = replace(
            BACKUP_SAMPLING,
            seed=own.seed,
            max_tokens=await self._room(request, longest),
            stop=tuple(dict.fromkeys((*BACKUP_SAMPLING.stop, *own.stop))),
        )
        body = request_body(
            replace(request, sampling=sampling), model=self._remote_model, llama=True
        )
        async with self._translate_errors():
            patience = httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S)
            async with within_deadline(CLOCK, request.deadline, "generation"):
                response = await self._answers.send(body, patience)
            async with aclosing(response):
                await self._raise_for_status(response, request)
                async with within_deadline(CLOCK, request.deadline, "generation"):
                    body_read = await response.aread()
                chunk = parse_chunk(body_read.decode())
        thoughts = self._filter_thoughts(request)
        if chunk.thinks:
            thoughts.split_elsewhere()
        thoughts.feed(chunk.text)
        thoughts.finish(chunk.finish_reason)
        text = thoughts.clean()
        if chunk.finish_reason is None and not text:
            raise BackendProtocolError("the answer has no finish reason")
        refuse_empty_answer(bool(text), request)
        return text, replace(self._build_end(chunk, chunk.usage or Usage()), backup=True)

    def _filter_thoughts(self, request: GenerationRequest) -> ThoughtFilter:
        thoughts = ThoughtFilter(self._habit.thinks)
        if not is_new_answer(request):
            thoughts.split_elsewhere()  # it goes on behind what was told apart
        return thoughts

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """Exact where the server can count: llama.cpp, older ones of it, vLLM; else a bound.

        Which of the ways a server has is remembered until it no longer has it.
        """
        ways = (self._count_directly, self._count_by_template, self._count_by_messages)
        async with self._translate_errors():
            for way in ways[self._counting :] + ways[: self._counting]:
                if (count := await way(messages)) is not None:
                    self._counting = ways.index(way)
                    return count
        # another make of server, whose tokeniser is unknown
        return upper_bound(messages)

    async def check(self) -> None:
        async with self._translate_errors():
            response = await self._http.get("/health", timeout=2.0)
            if response.status_code == 404:
                response = await self._http.get("/v1/models", timeout=2.0)
            await raise_for_status(response)

    async def close(self) -> None:
        await self._http.aclose()
        await self._answers.close()

    async def _count_directly(self, messages: Sequence[Message]) -> int | None:
        body = {"messages": [asdict(m) for m in messages]}
        response = await self._http.post("/v1/chat/completions/input_tokens", json=body)
        if response.status_code in ABSENT:
            return None
        if response.status_code in CALLERS and (reason := await self._template_reason(messages)):
            raise InvalidRequest("messages", "template_refused", said=reason)
        await raise_for_status(response)
        return _read(response, "input_tokens", int)

    async def _count_by_template(self, messages: Sequence[Message]) -> int | None:
        """For older llama.cpp servers: apply the template, tokenise the text."""
        body = {"messages": [asdict(m) for m in messages]}
        applied = await self._http.post("/apply-template", json=body)
        if applied.status_code in ABSENT:
            return None
        await raise_for_status(applied)
        prompt = _read(applied, "prompt", str)
        tokens = await self._http.post("/tokenize", json={"content": prompt, "parse_special": True})
        await raise_for_status(tokens)
        return len(_read(tokens, "tokens", list))

    async def _count_by_messages(self, messages: Sequence[Message]) -> int | None:
        """vLLM's: its /tokenize takes messages, applies the template and tells `count`."""
        body: dict[str, Any] = {"messages": [asdict(m) for m in messages]}
        if self._remote_model:
            body["model"] = self._remote_model
        response = await self._http.post("/tokenize", json=body)
        if response.status_code in ABSENT:
            return None
        await raise_for_status(response)
        if b'"count"' not in response.content:
            return None  # the first llama.cpp servers take any body and find no text in this one
        return _read(response, "count", int)

    async def _raise_for_status(
        self, response: httpx2.Response, request: GenerationRequest
    ) -> None:
        """Raise what a refusal means; where it is the chat template's, InvalidRequest with its own
        reason, which is the difference to a conversation that no template refuses."""
        if response.status_code in CALLERS:
            reason = await self._template_reason(request.messages)
            if reason is not None:
                raise InvalidRequest("messages", "template_refused", said=reason)
        await raise_for_status(response, request, self.context_tokens)

    async def _template_reason(self, messages: Sequence[Message]) -> str | None:
        applied = None
        for tried in ((Message("user", "?"),), messages):
            if applied is not None and applied.status_code != 200:
                return None
            body = {"messages": [asdict(m) for m in tried]}
            applied = await self._http.post(
                "/apply-template", json=body, timeout=TEMPLATE_TIMEOUT_S
            )
        if applied is None or applied.status_code not in CALLERS:
            return None
        return read_template_reason(_json_of(applied))

    async def _room(self, request: GenerationRequest, wished: int) -> int:
        """`wished` tokens, or what the prompt leaves of the context if that is less."""
        if upper_bound(request.messages) + wished <= self.context_tokens:
            return wished
        async with within_deadline(CLOCK, request.deadline, "generation"):
            left = self.context_tokens - await self.count_tokens(request.messages)
        return max(1, min(wished, left))

    def _build_end(self, last: Chunk, usage: Usage) -> Finished:
        return Finished(
            reason=last.finish_reason or "stop",
            usage=usage,
            model=self._name_model(last),
            prefill_s=last.prefill_s,
            generation_s=last.generation_s,
        )

    def _name_model(self, _last: Chunk) -> str:
        """The model that gave an answer: of an engine that we started, the one we gave it."""
        return self.name

    @asynccontextmanager
    async def _translate_errors(self) -> AsyncIterator[None]:
        """httpx2's errors, once, by type."""
        try:
            yield
        except httpx2.TimeoutException as error:
            raise BackendUnavailable("the model's server does not answer", RETRY_AFTER_S) from error
        except httpx2.RemoteProtocolError as error:
            raise BackendUnavailable("the connection broke off", RETRY_AFTER_S) from error
        except httpx2.RequestError as error:
            raise BackendUnavailable("the model's server is unreachable", RETRY_AFTER_S) from error
        except (EventTooLong, UnicodeDecodeError) as error:
            raise BackendProtocolError("the model's server sent nonsense") from error


async def raise_for_status(
    response: httpx2.Response, request: GenerationRequest | None = None, limit_tokens: int = 0
) -> None:
    if response.status_code < 400:
        return
    await response.aread()
    wait_s = retry_after_s(response.headers.get("Retry-After"), RETRY_AFTER_S)
    body = _json_of(response)
    raise read_refusal(response.status_code, body, request, limit_tokens, wait_s)


def _json_of(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except UNREADABLE:
        return None


def _read(response: httpx2.Response, field: str, kind: type[Kind]) -> Kind:
    try:
        value = response.json()[field]
    except UNREADABLE as error:
        raise BackendProtocolError(f"the model's server gave no {field}") from error
    if not isinstance(value, kind):
        raise BackendProtocolError(f"the model's server gave a {field} of another kind")
    return value
