"""One request's place in a waiting room, from arrival to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatbot_ai.core.estimate import RunningAnswer, ServiceSample
from chatbot_ai.domain.errors import AdmissionRejected, DeadlineExceeded

if TYPE_CHECKING:
    from chatbot_ai.core.admission import Admission

#: A waiting caller hears of a changed estimate at least this often, in seconds.
UPDATE_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """1 is next. `wait_s` is None until a first answer was measured."""

    position: int
    wait_s: float | None


class Ticket:
    """One request's place, from arrival to `release`. Made by `Admission.enter` only."""

    def __init__(
        self, admission: Admission, user: Hashable, deadline: float, conversation: Hashable | None
    ) -> None:
        self._admission = admission
        self.user = user
        self.deadline = deadline
        self.conversation = conversation
        self.tag = 0
        self.number = 0
        self.arrived = admission.clock.monotonic()
        self.started: float | None = None
        self._tokens = 0
        self._first_token_s: float | None = None
        self.at_arrival = QueuePosition(0, 0.0)
        self.refusal: AdmissionRejected | None = None
        self.changed = asyncio.Event()

    @property
    def order(self) -> tuple[int, int]:
        return self.tag, self.number

    @property
    def queue_s(self) -> float:
        """Seconds waited, so far or until the slot was given."""
        until = self.started if self.started is not None else self._admission.clock.monotonic()
        return until - self.arrived

    def progressed(self, tokens: int) -> None:
        """Say how many tokens the answer has by now."""
        if tokens and self._first_token_s is None:
            self._first_token_s = self._in_slot_s()
        self._tokens = tokens

    def progress(self) -> RunningAnswer:
        """How far the answer has come."""
        return RunningAnswer(self._in_slot_s(), self._first_token_s, self._tokens)

    def _in_slot_s(self) -> float:
        return self._admission.clock.monotonic() - (self.started or self.arrived)

    async def positions(self) -> AsyncIterator[QueuePosition]:
        """Yield the place whenever it changes; end when the slot is given.

        Raises DeadlineExceeded if the deadline passes first and AdmissionRejected if the service
        stops or the place goes to a user who has fewer. The ticket must be released in every case.
        """
        last: QueuePosition | None = None
        while self.started is None:
            if self.refusal is not None:
                raise self.refusal
            self.changed.clear()
            place = self._admission.position(self)
            if place != last:
                last = place
                yield place
                continue
            left = self.deadline - self._admission.clock.monotonic()
            if left <= 0:
                raise DeadlineExceeded("queue", self._admission.retry_after_s())
            try:
                async with asyncio.timeout(min(left, UPDATE_EVERY_S)):
                    await self.changed.wait()
            except TimeoutError:
                last = None if left > UPDATE_EVERY_S else last

    def release(self, sample: ServiceSample | None = None) -> None:
        """Give the place back; `sample` teaches the estimate. Safe to call twice."""
        self._admission.leave(self, sample)
