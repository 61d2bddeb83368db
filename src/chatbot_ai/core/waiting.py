"""What one who waits is told until its slot is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chatbot_ai.core.admission import Admission
from chatbot_ai.core.ticket import QueuePosition, Ticket
from chatbot_ai.domain.errors import DeadlineExceeded

#: A waiting caller hears of a changed estimate at least this often, in seconds.
UPDATE_EVERY_S = 2.0


async def positions(room: Admission, ticket: Ticket) -> AsyncGenerator[QueuePosition, None]:
    """Yield the ticket's place whenever it changes; end when the slot is given.

    Raises DeadlineExceeded if the deadline passes first and AdmissionRejected if the service
    stops or the place goes to a user who has fewer. The ticket must leave the room in every case.
    """
    last: QueuePosition | None = None
    while ticket.started is None:
        if ticket.refusal is not None:
            raise ticket.refusal
        ticket.changed.clear()
        place = room.position(ticket)
        if place != last:
            last = place
            yield place
            continue
        left = ticket.deadline - room.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded("queue", room.retry_after_s())
        try:
            async with asyncio.timeout(min(left, UPDATE_EVERY_S)):
                await ticket.changed.wait()
        except TimeoutError:
            last = None if left > UPDATE_EVERY_S else last
