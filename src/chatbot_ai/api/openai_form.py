"""Answers in OpenAI's form: one chat.completion, or chunks that end with [DONE]."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from chatbot_ai.api.answering import answer_headers
from chatbot_ai.api.error_responses import error_body, language_for, request_id_of, status_of
from chatbot_ai.api.openai_errors import to_openai
from chatbot_ai.core.answer import Answer, ChatEvent, Delta, Done, Sources
from chatbot_ai.core.queue import QueuePosition
from chatbot_ai.domain.errors import ChatbotError
from chatbot_ai.domain.generation import Restarted, Usage

DONE = b"data: [DONE]\n\n"


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
