"""One request's place in a waiting room, from arrival to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from chatbot_ai.core.estimate import RunningAnswer
from chatbot_ai.domain.errors import AdmissionRejected
from chatbot_ai.domain.ports import Clock


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """1 is next. `wait_s` is None until a first answer was measured."""

    position: int
    wait_s: float | None


class Ticket:
    """One request's place, from `Admission.enter`, which makes it, to `Admission.leave`."""

    def __init__(
        self, clock: Clock, user: Hashable, deadline: float, conversation: Hashable | None
    ) -> None:
        self._clock = clock
        self.user = user
        self.deadline = deadline
        self.conversation = conversation
        self.tag = 0
        self.number = 0
        self.arrived = clock.monotonic()
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
        until = self.started if self.started is not None else self._clock.monotonic()
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
        return self._clock.monotonic() - (self.started or self.arrived)
