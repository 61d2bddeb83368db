"""/v1: the calls that OpenAI's clients make, answered by this assistant.

They are stateless: the caller keeps the conversation. A system message becomes the persona (for
the character assistant: the character), and so does a stored character by its `character_id`;
without one the assistant is itself.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from chatbot_ai.api.answering import answer_headers, play_character, respond
from chatbot_ai.api.caller import Caller, principal_of, queue_name
from chatbot_ai.api.error_responses import error_body, language_for, request_id_of, status_of
from chatbot_ai.api.openai_errors import to_openai
from chatbot_ai.api.openai_schemas import ChatCompletionRequest
from chatbot_ai.api.openapi import ANSWERING
from chatbot_ai.api.services import Services, ServicesOf, deadline_of
from chatbot_ai.core.answer import Answer, ChatEvent, Delta, Done, Sources
from chatbot_ai.core.character_library import PlayedCharacter
from chatbot_ai.core.chat import Chat
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.domain.control_tokens import neutralize
from chatbot_ai.domain.conversation import Message, Role
from chatbot_ai.domain.errors import ChatbotError, NotFound, UnknownModel
from chatbot_ai.domain.generation import Restarted, Usage
from chatbot_ai.domain.limits import OPENAI_MODEL_CHARS
from chatbot_ai.domain.persona import Persona

ModelName = Annotated[
    str, Path(max_length=OPENAI_MODEL_CHARS, description="Alias or name of a model.")
]

_ERROR = {"$ref": "#/components/schemas/OpenAIError"}
DONE = b"data: [DONE]\n\n"


def _document_error(status: int, text: str) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": text, "content": {"application/json": {"schema": _ERROR}}}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    **_document_error(401, "No valid key, where one is needed."),
    **_document_error(408, "The body did not come in time."),
    **_document_error(429, "Over this caller's own limit; see Retry-After."),
    **_document_error(503, "The keys cannot be read now; see Retry-After."),
}
MODEL_RESPONSES: dict[int | str, dict[str, Any]] = {
    **_document_error(400, "The name is longer than any model's."),
    **_document_error(404, "No such model."),
}
COMPLETION_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The completion; with `stream` its chunks as server-sent events.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "string"}},
        },
    },
    **RESPONSES,
    **_document_error(400, "A parameter is wrong; `param` names it."),
    **_document_error(404, "No such model, or this user has no such character."),
    **_document_error(413, "The body is too large."),
    **_document_error(422, "The Idempotency-Key was used before, or the card cannot be played."),
    **_document_error(503, "Busy, or something it needs is down; see Retry-After."),
}


class ModelCard(BaseModel):
    """One model by the alias that requests name."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When this service started, in Unix seconds.")
    owned_by: str
    name: str = Field(description="The model behind the alias; accepted as well.")


class ModelList(BaseModel):
    """Every model that can be named."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


router = APIRouter(
    prefix="/v1", tags=["openai"], dependencies=[Depends(principal_of)], responses=RESPONSES
)


@router.get("/models")
async def models(services: ServicesOf) -> ModelList:
    """List the models."""
    offered = [alias for alias in services.chat.models if alias not in services.unconfigured]
    return ModelList(data=[_card(services, alias) for alias in offered])


@router.get("/models/{model:path}", responses=MODEL_RESPONSES)
async def model(model: ModelName, services: ServicesOf) -> ModelCard:
    """Read one model."""
    if not model:  # /v1/models/, which is no name
        raise NotFound("no name of a model")
    alias = alias_of(services.chat, model)
    if alias in services.unconfigured:
        raise UnknownModel(model, tuple(services.chat.models))
    return _card(services, alias)


@router.post(
    "/chat/completions",
    openapi_extra=ANSWERING,
    responses=COMPLETION_RESPONSES,
    response_class=JSONResponse,
)
async def chat_completions(
    body: ChatCompletionRequest, request: Request, services: ServicesOf, caller: Caller
) -> Response:
    """Answer the last of the given messages."""
    alias = alias_of(services.chat, body.model)
    answering, persona = services.chat.model(alias)
    user_id = caller.user_id if caller.kind == "user" else body.user
    played_ = None
    if body.character_id is not None:
        played_ = await play_character(services, alias, body, user=user_id, user_field="user")
    wanted = ChatRequest(
        text="",
        principal=caller,
        caller=queue_name(request, caller, user_id),
        deadline=deadline_of(request),
        search=body.searches,
        stream=bool(body.stream),
        sampling=body.sampling(),
        messages=messages_of(body, persona, played_),
        lore=played_.lore if played_ else None,
        response_format=body.response_format,
    )
    usage = bool(body.stream_options and body.stream_options.include_usage)
    form = CompletionForm(request, model=answering.name, include_usage=usage)
    return await respond(alias, wanted, request, services, form)


def alias_of(chat: Chat, name: str) -> str:
    """The alias that a model's alias or real name stands for, in any case. Raises UnknownModel."""
    wanted = name.lower()
    for alias in chat.models:
        if alias.lower() == wanted:
            return alias
    for alias, (model, _) in chat.models.items():
        if model.name.lower() == wanted:
            return alias
    raise UnknownModel(name, tuple(chat.models))


def messages_of(
    body: ChatCompletionRequest, persona: Persona, played_: PlayedCharacter | None = None
) -> tuple[Message, ...]:
    """The prompt: the system messages that come first, joined, or the persona; then the rest.

    A stored character stands before the system messages. Behind them user and assistant take turns,
    as many chat templates demand: neighbours of one role are joined, and what a system message says
    later stands in the user message that comes next.
    """
    leading: list[str] = []
    rest: list[Message] = []
    for message in body.messages:
        if message.content is None:
            continue
        text = neutralize(message.content)
        role: Role = "assistant" if message.role == "assistant" else "user"
        if message.role not in ("user", "assistant") and not rest:
            leading.append(text)
        elif rest and rest[-1].role == role:
            rest[-1] = Message(role, f"{rest[-1].content}\n\n{text}")
        else:
            rest.append(Message(role, text))
    if played_ is not None:
        leading.insert(0, neutralize(played_.persona.system_prompt(played_.character)))
    system = "\n\n".join(leading) if leading else neutralize(persona.system_prompt(None))
    return (Message("system", system), *rest)


def _card(services: Services, alias: str) -> ModelCard:
    model, _ = services.chat.models[alias]
    first = next(iter(services.chat.models))
    return ModelCard(
        id=alias,
        created=int(services.statistics.started_at),
        owned_by="chatbot-ai" if alias == first else "openai",
        name=model.name,
    )


class CompletionForm:
    """One completion, in the form of OpenAI's API.

    model          its name until the answer says which one it really was
    include_usage  whether a stream tells its usage in a chunk of its own
    """

    def __init__(self, request: Request, *, model: str, include_usage: bool = False) -> None:
        self._language, self._request_id = language_for(request), request_id_of(request)
        self._model, self._include_usage = model, include_usage
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._sources = Sources((), ())
        self.begun = False

    def event(self, event: ChatEvent) -> bytes:
        match event:
            case QueuePosition():
                wait = "" if event.wait_s is None else f" wait_s={event.wait_s}"
                return f": queued position={event.position}{wait}\n\n".encode()
            case Sources():
                self._sources = event
                return b""
            case Delta():
                return self._role() + self._chunk({"content": event.text})
            case Done():
                self._model = event.model
                end = self._role() + self._chunk({}, event.finish_reason)
                return end + (self._usage_chunk(event.usage) if self._include_usage else b"")
            case Restarted():
                return b""  # rule M1: never in a stream

    def error(self, error: BaseException) -> bytes:
        known = error if isinstance(error, ChatbotError) else ChatbotError()
        body = error_body(known, self._language, self._request_id)
        return _data(to_openai(status_of(known), body)[1])

    def end(self) -> bytes:
        return DONE

    def whole(self, answer: Answer) -> Response:
        done = answer.done
        body = self._head("chat.completion") | {
            "model": done.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": answer.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": done.finish_reason,
                }
            ],
            "usage": usage_body(done.usage),
        }
        body |= _found(Sources(done.sources, done.warnings))
        return JSONResponse(body, headers=answer_headers(answer))

    def _role(self) -> bytes:
        """The chunk that comes first, with what the answer may rest on."""
        if self.begun:
            return b""
        self.begun = True
        return self._chunk({"role": "assistant", "content": ""}, extra=_found(self._sources))

    def _chunk(
        self,
        delta: dict[str, str],
        finish_reason: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        body = self._head("chat.completion.chunk") | {"choices": [choice]}
        if self._include_usage:
            body["usage"] = None
        return _data(body | (extra or {}))

    def _usage_chunk(self, usage: Usage) -> bytes:
        head = self._head("chat.completion.chunk")
        return _data(head | {"choices": [], "usage": usage_body(usage)})

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": None,
        }


def usage_body(usage: Usage) -> dict[str, Any]:
    """Token counts as OpenAI names them."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _found(grounded: Sources) -> dict[str, Any]:
    """Our extra fields of a grounded answer; nothing for any other."""
    if not grounded.sources and not grounded.warnings:
        return {}
    return {
        "sources": [asdict(source) for source in grounded.sources],
        "warnings": list(grounded.warnings),
    }


def _data(body: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()
