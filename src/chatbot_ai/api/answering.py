"""From a request for an answer to a response: as events or whole, in the form the caller speaks."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Protocol
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.caller import Lease, owner_of, read_claim, run_while_present
from chatbot_ai.api.error_responses import error_body, language_for, request_id_of
from chatbot_ai.api.schemas import StoredChoice
from chatbot_ai.api.services import Services
from chatbot_ai.api.streaming import (
    AI_GENERATED,
    EventStream,
    encode,
    encode_chat,
    start_stream,
    wait_for_first_event,
    wants_resumable,
)
from chatbot_ai.core.answer import Answer, ChatEvent, collect
from chatbot_ai.core.character_library import PlayedCharacter, play_card
from chatbot_ai.core.exchange import ChatRequest
from chatbot_ai.domain.access import Principal
from chatbot_ai.domain.citations import find_cited, format_sources
from chatbot_ai.domain.errors import ChatbotError, InvalidRequest


class Form(Protocol):
    """How answers look to one caller. `error` and `end` are what a stream says at its end."""

    def event(self, event: ChatEvent) -> bytes: ...

    def error(self, error: BaseException) -> bytes: ...

    def end(self) -> bytes: ...

    def whole(self, answer: Answer) -> Response: ...


class PlainForm:
    """This project's own form: a JSON string, or the events that docs/api.md describes."""

    def __init__(self, request: Request) -> None:
        self._language, self._request_id = language_for(request), request_id_of(request)
        self._lists_sources = wants_sources(request)

    def event(self, event: ChatEvent) -> bytes:
        return encode_chat(event)

    def error(self, error: BaseException) -> bytes:
        known = error if isinstance(error, ChatbotError) else ChatbotError()
        return encode("error", error_body(known, self._language, self._request_id)["error"])

    def end(self) -> bytes:
        return b""

    def whole(self, answer: Answer) -> Response:
        text, sources = answer.text, answer.done.sources
        if sources and self._lists_sources:
            text += format_sources(sources, find_cited(text, sources), self._language)
        return JSONResponse(text, headers=answer_headers(answer))


def wants_stream(request: Request) -> bool:
    """Whether the caller accepts server-sent events and says so."""
    return "text/event-stream" in request.headers.get("accept", "").lower()


def wants_sources(request: Request) -> bool:
    """Whether a JSON answer is to end with the list of the sources that it cites."""
    asked = request.headers.get("x-include-sources", "").strip().lower()
    if asked:
        return asked in ("1", "true", "yes")
    return bool(request.app.state.options.lists_sources)


async def respond(
    alias: str,
    wanted: ChatRequest,
    request: Request,
    services: Services,
    form: Form | None = None,
) -> Response:
    """Answer as the caller wished: events, or the whole with what it took in headers."""
    form = form or PlainForm(request)
    principal: Principal = request.state.principal
    owner = owner_of(request, principal, principal.speaks_for(wanted.user_id))
    claim = await read_claim(request, owner)
    if claim is None:
        events = services.chat.answer(alias, wanted)
    else:
        events = services.answers.answer(alias, wanted, claim)
    if not wanted.stream:
        return form.whole(await run_while_present(request.receive, collect(events)))
    if wants_resumable(request):
        stream = services.streams.start(events, owner, copy.copy(form))
        # it counts as concurrent until it ends, however often its connection does
        lease: Lease = request.state.lease
        lease.hold()
        stream.task.add_done_callback(lambda _: lease.release())
        return await start_stream(request, stream, form)
    pending = await wait_for_first_event(request.receive, events)
    return EventStream(pending, events, form)


async def play_character(
    services: Services,
    alias: str,
    choice: StoredChoice,
    *,
    user: str | None,
    user_field: str = "user_id",
    db_id: str | None = None,
) -> PlayedCharacter:
    """The chosen character of that user, for one answer of the model `alias`.

    Raises NotFound where this user has none of that id, InvalidRequest where nobody is named or
    this assistant plays none, CardError where the card cannot be played.
    """
    model, persona = services.chat.model(alias)
    if services.characters is None or choice.character_id is None:
        raise InvalidRequest("character_id", "field_unsupported")
    if user is None:
        raise InvalidRequest(user_field, "field_missing")
    stored = await services.characters.get(user, choice.character_id)
    if choice.user_name:
        persona = replace(persona, user_name=choice.user_name)
    seed = db_id or stored.id
    return await asyncio.to_thread(
        play_card,
        stored.sheet.card,
        persona,
        model.context_tokens,
        choice.greeting_index,
        seed=seed,
        now=services.chat.local_time(),
    )


async def with_stored_character(
    wanted: ChatRequest, alias: str, choice: StoredChoice, services: Services
) -> ChatRequest:
    """The request with the stored character that it names, if it names one."""
    if choice.character_id is None:
        return wanted
    found = await play_character(services, alias, choice, user=wanted.user_id, db_id=wanted.db_id)
    return replace(wanted, character=found.character, persona=found.persona, lore=found.lore)


def answer_headers(answer: Answer) -> dict[str, str]:
    """What a JSON answer took. Server-Timing is in milliseconds (W3C Server Timing)."""
    first, done = answer.first, answer.done
    times = done.timings
    parts = {
        "queue": times.queue_s,
        "search": times.search_s,
        "prefill": times.prefill_s,
        "first_token": times.first_token_s,
        "generation": times.generation_s,
        "total": times.total_s,
    }
    headers = {
        **AI_GENERATED,
        # a header is Latin-1; a file's name may be anything
        "X-Model": done.model if done.model.isascii() else quote(done.model, safe=":/"),
        "X-Queue-Position": str(first.position if first else 0),
        "Server-Timing": ", ".join(
            f"{name};dur={seconds * 1000:.1f}"
            for name, seconds in parts.items()
            if seconds is not None
        ),
    }
    if first is not None and first.wait_s is not None:
        headers["X-Queue-Wait"] = f"{first.wait_s:.1f}"
    if done.backup:
        headers["X-Backup-Answer"] = "true"
    if done.warnings:
        headers["X-Warnings"] = ", ".join(done.warnings)
    if done.replayed:
        headers["Idempotent-Replayed"] = "true"
    if done.turn is not None:
        headers["X-Turn"] = str(done.turn)
    return headers
