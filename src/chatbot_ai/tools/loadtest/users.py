"""The Locust file: simulated people for `locust -f`. Imported by Locust's own process only.

Importing Locust replaces the standard library's sockets and sleeps by gevent's, which is why
nothing else in this package imports this module.
"""

from __future__ import annotations

import itertools
import random
import time
import uuid
from argparse import Namespace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from locust import User, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.user.task import LOCUST_STATE_STOPPING

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.tools.loadtest.client import ChatClient, Reply
from chatbot_ai.tools.loadtest.record import Record, RecordFile, run_name
from chatbot_ai.tools.loadtest.run import KEY_VARIABLE
from chatbot_ai.tools.loadtest.visitor import Patience, Visitor

#: A person who waits to ask again looks up this often whether the test is over.
_LOOK_UP_S = 0.25


def _add_options(parser: LocustArgumentParser) -> None:
    key_help = "API key to send along; better set in the environment"
    parser.add_argument(
        "--api-key", default="", env_var=KEY_VARIABLE, is_secret=True, help=key_help
    )
    group = parser.add_argument_group("ChatBot AI")
    group.add_argument("--records", default="", help="CSV file to write, one row per request")
    group.add_argument("--stream-share", type=float, default=0.5, help="0 = JSON, 1 = streams")
    group.add_argument("--max-retries", type=int, default=3, help="repetitions after a refusal")
    group.add_argument("--think-s", type=float, default=1.0, help="mean pause between questions")
    group.add_argument("--request-timeout-s", type=float, default=300.0)
    group.add_argument("--run-label", default="", help="a name for this run in the report")


def _open_records(environment: Environment, **_: object) -> None:
    options = _options(environment)
    path = Path(options.records or f"{run_name('locust', datetime.now())}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    environment.records = RecordFile(path)  # type: ignore[attr-defined]


def _close_records(environment: Environment, **_: object) -> None:
    records: RecordFile | None = getattr(environment, "records", None)
    if records is not None:
        records.close()


_hooks: Any = events  # Locust's event hooks carry no types
_hooks.init_command_line_parser.add_listener(_add_options)
_hooks.test_start.add_listener(_open_records)
_hooks.quitting.add_listener(_close_records)


def _options(environment: Environment) -> Namespace:
    options = environment.parsed_options
    if not isinstance(options, Namespace):
        raise TypeError("these people need Locust's command line")
    return options


class Person(User):
    """One simulated person; subclasses say which assistant is visited."""

    abstract = True
    assistant: ClassVar[Assistant]
    _numbers = itertools.count()
    _run_id = uuid.uuid4().hex[:8]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = _options(environment)
        number = next(Person._numbers)
        pause_s = max(0.0, options.think_s)
        self._pause = between(pause_s * 0.5, pause_s * 1.5)
        self._visitor = Visitor(
            assistant=self.assistant,
            number=number,
            run_id=self._run_id,
            client=ChatClient(self.host or "", options.request_timeout_s, key=options.api_key),
            chance=random.Random(number),  # noqa: S311 - the same people each run
            sink=self._note,
            sleep=self._sleep,
            clock=time.perf_counter,
            count_users=self._count_users,
            stream_share=options.stream_share,
            patience=Patience(max_retries=options.max_retries),
            label=options.run_label,
        )

    def wait_time(self) -> float:
        return float(self._pause(self))

    @task
    def ask(self) -> None:
        self._visitor.ask_next()

    def _count_users(self) -> int:
        runner = self.environment.runner
        return runner.user_count if runner is not None else 0

    def _sleep(self, wait_s: float) -> bool:
        ends = time.monotonic() + wait_s
        while (left_s := ends - time.monotonic()) > 0:
            if self._state == LOCUST_STATE_STOPPING:
                return False
            time.sleep(min(_LOOK_UP_S, left_s))
        return self._state != LOCUST_STATE_STOPPING

    def _note(self, record: Record, reply: Reply) -> None:
        records: RecordFile = self.environment.records
        records.write(record)
        failed: dict[str, Any] = (
            {"exception": None}
            if record.outcome == "answered"
            else {"exception": RuntimeError(f"{record.outcome}: {record.cause}")}
        )
        self.environment.events.request.fire(
            request_type=record.mode,
            name=record.endpoint,
            response_time=(record.total_s or 0.0) * 1000,
            response_length=reply.response_bytes,
            context={},
            **failed,
        )


class OfficePerson(Person):
    """Asks the office assistant work questions."""

    assistant = "office"


class CharacterPerson(Person):
    """Talks with one character after the other."""

    assistant = "character"
