"""GET and DELETE /streams/{id}: take a stream up again, or end it."""

from __future__ import annotations

import copy
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from chatbot_ai.api.answering import CALLER_RESPONSES, Form, document_error
from chatbot_ai.api.caller import Caller, owner_of, principal_of
from chatbot_ai.api.resumption import resume_stream
from chatbot_ai.api.schemas import UserName
from chatbot_ai.api.services import ServicesOf
from chatbot_ai.core.answer import ChatEvent
from chatbot_ai.core.streams import ResumableStream

StreamId = Annotated[str, Path(max_length=100, description="`X-Stream-Id` of the first answer.")]
User = Annotated[
    UserName | None,
    Query(description="The user that the stream was for; a user key may leave it out."),
]
RESPONSES = {
    **CALLER_RESPONSES,
    **document_error(403, "A user key that names another user."),
    **document_error(404, "This caller has no such stream, or no longer."),
    **document_error(422, "A parameter is wrong; `fields` names it."),
}
FOLLOW_RESPONSES = {
    200: {
        "description": "The rest of the stream, in the form in which it began.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **document_error(410, "The events after Last-Event-ID are no longer kept."),
}


class Ended(BaseModel):
    """What DELETE found."""

    cancelled: bool = Field(description="False where the stream had ended by itself.")


async def get_stream(
    request: Request,
    stream_id: StreamId,
    services: ServicesOf,
    caller: Caller,
    user_id: User = None,
) -> ResumableStream[ChatEvent]:
    """The caller's own stream. Raises NotFound for anybody else's."""
    owner = owner_of(request, caller, caller.speaks_for(user_id))
    return services.streams.find(stream_id, owner)


Stream = Annotated[ResumableStream[ChatEvent], Depends(get_stream)]


def router() -> APIRouter:
    """The routes of streams that began with `X-Resumable: true`."""
    routes = APIRouter(
        prefix="/streams",
        tags=["streams"],
        dependencies=[Depends(principal_of)],
        responses=RESPONSES,
    )

    @routes.get("/{stream_id}", responses=FOLLOW_RESPONSES, response_class=Response)
    async def follow(
        stream: Stream,
        last_event_id: Annotated[
            int, Header(ge=0, le=2**31 - 1, description="`id` of the last event that was seen.")
        ] = 0,
    ) -> Response:
        """Take a stream up again behind the event that was seen last."""
        form = cast("Form", copy.copy(stream.note))
        return resume_stream(stream, form, last_event_id)

    @routes.delete("/{stream_id}")
    async def cancel(stream: Stream) -> Ended:
        """End a stream: its generation stops; what was said is stored as interrupted."""
        return Ended(cancelled=stream.cancel())

    return routes
