"""Several people talking at once, and the account of what each of them was told."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import httpx2

from support.http_calls import Event, body, error_of, events, text_of
from support.process_group import ASSISTANTS, Group, eventually
from support.waiting import HANG_S

#: How a call ended for its caller. `cut`: the answer had begun and broke off.
Outcome = Literal["answered", "unavailable", "failed in stream", "cut", "no connection"]
#: A caller's pause after being refused: politer than Retry-After asks, so that tests are quick.
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Call:
    """One message and what became of it; `text` is what the caller got to read."""

    message: str
    outcome: Outcome
    text: str = ""


@dataclass
class Speaker:
    """One user in one conversation, who sends the next message when the last call has ended."""

    url: str
    assistant: str
    user_id: str
    streams: bool
    db_id: str = "faults"
    calls: list[Call] = field(default_factory=list)
    failure: BaseException | None = None

    def talk(self, stop: threading.Event) -> None:
        """Until `stop` is set; an answer that no caller should get ends it with `failure`."""
        try:
            while not stop.is_set():
                message = f"message {len(self.calls)} of {self.user_id}"
                self.calls.append(self._call(message))
                if self.calls[-1].outcome != "answered":
                    stop.wait(PAUSE_S)
        except BaseException as error:
            self.failure = error
            raise

    def answered(self) -> int:
        return sum(call.outcome == "answered" for call in self.calls)

    def _call(self, message: str) -> Call:
        request = body(self.assistant, input_data=message, user_id=self.user_id, db_id=self.db_id)
        headers = {"Accept": "text/event-stream"} if self.streams else {}
        received: list[Event] = []
        begun = False
        try:
            with httpx2.stream(
                "POST", f"{self.url}/{self.assistant}/Llama", json=request, headers=headers,
                timeout=HANG_S,
            ) as response:  # fmt: skip
                begun = True
                if response.status_code != 200 or not self.streams:
                    response.read()
                    return self._whole(message, response)
                for event in events(response):
                    received.append(event)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            return Call(message, "cut" if begun else "no connection", text_of(received))
        return self._streamed(message, received)

    def _whole(self, message: str, response: httpx2.Response) -> Call:
        if response.status_code == 200:
            return Call(message, "answered", response.json())
        assert response.status_code == 503, response.text
        error_of(response)
        return Call(message, "unavailable")

    def _streamed(self, message: str, received: list[Event]) -> Call:
        assert received, "a stream without any event"
        last = received[-1]
        if last.name == "done":
            return Call(message, "answered", text_of(received))
        assert last.name == "error", received
        assert last.data["code"]
        assert last.data["retry_after_s"] >= 1
        return Call(message, "failed in stream", text_of(received))


class Load:
    """Two users of each assistant, one of them streaming, talking in the background."""

    def __init__(self, group: Group, name: str, others: Sequence[Speaker] = ()) -> None:
        self.speakers = [
            Speaker(group.url, assistant, f"{name}-{assistant}-{streams}", streams)
            for assistant in ASSISTANTS
            for streams in (False, True)
        ]
        self.speakers += others
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=speaker.talk, args=(self._stop,), daemon=True)
            for speaker in self.speakers
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let every call that runs come to its end; one that hangs fails."""
        self._stop.set()
        for thread in self._threads:
            thread.join(HANG_S)
        assert not any(thread.is_alive() for thread in self._threads), "a call hangs"
        for speaker in self.speakers:
            if speaker.failure is not None:
                raise speaker.failure

    def wait_for_answers(self, within_s: float, more: int = 1) -> None:
        """Until every speaker has had `more` further answers."""
        goals = [(speaker, speaker.answered() + more) for speaker in self.speakers]

        def reached() -> bool:
            for speaker in self.speakers:
                if speaker.failure is not None:
                    raise speaker.failure
            return all(speaker.answered() >= goal for speaker, goal in goals)

        eventually(reached, within_s, "everyone is answered")

    def outcomes(self) -> set[Outcome]:
        """How calls ended, over all speakers."""
        return {call.outcome for speaker in self.speakers for call in speaker.calls}


def check_stored(group: Group, speaker: Speaker) -> None:
    """What was answered is stored once, in order, as it was read; nothing is stored twice."""
    turns = group.turns(speaker.assistant, speaker.user_id, speaker.db_id)
    assert [turn.index for turn in turns] == list(range(len(turns)))
    inputs = [turn.input for turn in turns]
    assert len(set(inputs)) == len(inputs), "a message is stored twice"
    order = {call.message: number for number, call in enumerate(speaker.calls)}
    assert inputs == sorted(inputs, key=order.__getitem__)
    stored = {turn.input: turn for turn in turns}
    for call in speaker.calls:
        if call.outcome == "answered":
            assert stored[call.message].output == call.text
            assert stored[call.message].status == "complete"
        elif call.outcome == "failed in stream" and call.text:
            _wait_interrupted(group, speaker, call)


def _wait_interrupted(group: Group, speaker: Speaker, call: Call) -> None:
    def found() -> bool:
        turns = group.turns(speaker.assistant, speaker.user_id, speaker.db_id)
        kept = [turn for turn in turns if turn.input == call.message]
        return [(t.status, t.output) for t in kept] == [("interrupted", call.text)]

    eventually(found, HANG_S, "the part that was shown is stored as interrupted")
