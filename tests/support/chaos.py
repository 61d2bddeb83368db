"""kill -9 of MongoDB, engine, office, character and gateway in random order, under load.

`make chaos`, or `python tests/support/chaos.py --seconds 300 --seed 7`: prints what was killed, how
calls ended and what became of the turns, writes the same as JSON, and fails if an answered turn
is missing, doubled, changed or out of order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import httpx2
from pymongo import MongoClient

from support.http_calls import BODIES
from support.load import Call, Load, Speaker
from support.mongodb_process import MongodbProcess
from support.process_group import (
    ASSISTANTS,
    HEAL_S,
    START_S,
    Group,
    Part,
    StoredTurn,
    brief,
    environment,
    eventually,
)

Victim = Literal["mongo", "engine", "office", "character", "gateway"]
VICTIMS: tuple[Victim, ...] = ("mongo", "engine", "office", "character", "gateway")
DATABASE = "chaos"
#: Seconds that MongoDB stays away, so that others die meanwhile.
AWAY_S = (0.2, 10.0)
#: Seconds between two kills, from the least to the most, in a long run; a short one has less.
PAUSE_S = (3.0, 15.0)
LONG_RUN_S = 300.0


@dataclass
class Account:
    """What happened, and what became of the turns.

    kills     how often each part was killed
    outcomes  how calls ended for their callers
    answered  turns that a caller was given whole; again: further answers to them
    stored    turns in the database, with those that no caller got to read to the end
    missing   answered turns that are not stored
    doubled   turns that are stored more than once
    wrong     all else that should not be, in words
    """

    seed: int
    seconds: float
    kills: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    answered_again: int = 0
    answered_by: dict[str, int] = field(default_factory=dict)
    stored: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.missing or self.doubled or self.wrong)


@dataclass
class Restless(Speaker):
    """One who has answers given again: `again` holds the turns' numbers and texts that came."""

    again: list[tuple[int, str]] = field(default_factory=list)

    def _call(self, message: str) -> Call:
        call = super()._call(message)
        if call.outcome == "answered":
            self._ask_again()
        return call

    def _ask_again(self) -> None:
        url = f"{self.url}/{self.assistant}/conversations/{self.db_id}/regenerate"
        fields = BODIES[self.assistant] | {"input_data": None}
        sent = {name: value for name, value in fields.items() if value is not None}
        try:
            answer = httpx2.post(url, params={"user_id": self.user_id}, json=sent, timeout=90)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            return
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            self.again.append((int(answer.headers["X-Turn"]), answer.json()))


class MongoGroup(Group):
    """The group on a MongoDB of its own, which may be killed too."""

    def __init__(self, folder: Path) -> None:
        self.server = MongodbProcess(folder / "mongodb")
        self._restart: threading.Timer | None = None
        settings = brief(folder) | {"MONGODB_URL": self.server.url, "MONGO_DATABASE": DATABASE}
        super().__init__(folder, environment(folder, **settings))

    def documents(self, name: str, **wanted: str) -> list[dict[str, Any]]:
        """What a collection holds, read past the product."""
        with MongoClient[dict[str, Any]](self.server.url) as client:
            return list(client[DATABASE][name].find(wanted))

    def turns(self, assistant: str, user_id: str, db_id: str) -> list[StoredTurn]:
        found = self.documents("turns", assistant=assistant, user_id=user_id, db_id=db_id)
        # the first answer is what the message itself was answered
        turns = [(turn, turn["answers"][0]) for turn in found]
        return sorted(
            StoredTurn(turn["index"], turn["input"], answer["text"], answer["status"])
            for turn, answer in turns
        )

    def waiting(self) -> int:
        """Turns in the outboxes."""
        count = 0
        for path in (self.folder / "data").glob("outbox-*.sqlite3"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as opened:
                count += opened.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return count

    def kill_one(self, victim: Victim, chance: random.Random) -> bool:
        """SIGKILL it, whatever it does just now; False where it does not run."""
        if victim == "mongo":
            if self._restart is not None and self._restart.is_alive():
                return False
            self.server.stop(signal.SIGKILL)
            self._restart = threading.Timer(chance.uniform(*AWAY_S), self.server.start)
            self._restart.start()
            return True
        part: Part = victim
        pid = self.pid(part)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def wait_for_mongo(self) -> None:
        if self._restart is not None:
            self._restart.join()

    def discard(self) -> None:
        self.wait_for_mongo()
        super().discard()
        self.server.stop(signal.SIGKILL)


def run(folder: Path, *, seconds: float, seed: int) -> Account:
    """Let people talk for `seconds` while things die, then wait for peace and take stock."""
    account = Account(seed, seconds)
    group = MongoGroup(folder)
    group.server.start()
    group.start()
    try:
        group.wait_ready(START_S)
        restless = [Restless(group.url, name, f"restless-{name}", False) for name in ASSISTANTS]
        with Load(group, "chaos", restless) as load:
            load.wait_for_answers(HEAL_S)
            account.kills = _kill(group, seconds, random.Random(seed))
            group.wait_for_mongo()
            load.wait_for_answers(HEAL_S)
        group.wait_ready(HEAL_S)
        eventually(lambda: group.waiting() == 0, HEAL_S, "the outboxes are empty")
        _take_stock(group, load.speakers, account)
        for one in restless:
            _account_for_again(group, one, account)
        code = group.interrupt()
        if code:
            account.wrong.append(f"the group ended with {code}")
    finally:
        group.discard()
    return account


def _kill(group: MongoGroup, seconds: float, chance: random.Random) -> dict[str, int]:
    """Kill one after the other, each once a round in an order of chance, for so many seconds and
    until each has been killed; return how often."""
    kills = Counter[str](dict.fromkeys(VICTIMS, 0))
    share = min(1.0, max(0.25, seconds / LONG_RUN_S))
    end = time.monotonic() + seconds
    left: list[Victim] = []
    while time.monotonic() < end or not all(kills.values()):
        assert group.process.poll() is None, f"the group has ended:\n{group.output}"
        if not left:
            left = list(VICTIMS)
            chance.shuffle(left)
        victim = next((one for one in left if group.kill_one(one, chance)), None)
        if victim is None:
            time.sleep(0.05)
            continue
        left.remove(victim)
        kills[victim] += 1
        time.sleep(min(chance.uniform(*PAUSE_S) * share, max(0.0, end - time.monotonic())))
    return dict(kills)


def _take_stock(group: MongoGroup, speakers: Sequence[Speaker], account: Account) -> None:
    account.outcomes = dict(Counter(call.outcome for one in speakers for call in one.calls))
    for speaker in speakers:
        _account_for(group, speaker, account)
    names = Counter(
        (turn["assistant"], turn["user_id"], turn["db_id"], turn["turn_id"])
        for turn in group.documents("turns")
    )
    account.doubled += [f"turn_id {name}" for name, count in names.items() if count > 1]
    known = {(s.assistant, s.user_id, s.db_id) for s in speakers}
    account.wrong += [f"a turn of nobody's: {name}" for name in names if name[:3] not in known]


def _account_for(group: MongoGroup, speaker: Speaker, account: Account) -> None:
    """Compare what one speaker was told with what is stored."""
    turns = group.turns(speaker.assistant, speaker.user_id, speaker.db_id)
    who, wrong = speaker.user_id, account.wrong
    account.stored += len(turns)
    if [turn.index for turn in turns] != list(range(len(turns))):
        wrong.append(f"{who}: indexes {[turn.index for turn in turns]}")
    inputs = [turn.input for turn in turns]
    account.doubled += [name for name, count in Counter(inputs).items() if count > 1]
    order = {call.message: number for number, call in enumerate(speaker.calls)}
    wrong += [f"{who}: {name!r} was never sent" for name in inputs if name not in order]
    sent = [order[name] for name in inputs if name in order]
    if sent != sorted(sent):
        wrong.append(f"{who}: stored in the order {sent}")
    stored = {turn.input: turn for turn in turns}
    for call in speaker.calls:
        turn = stored.get(call.message)
        if call.outcome != "answered":
            continue
        account.answered += 1
        if turn is None:
            account.missing.append(call.message)
        elif (turn.output, turn.status) != (call.text, "complete"):
            wrong.append(f"{call.message!r}: told {call.text!r}, stored {turn}")
    account.answered_by[who] = speaker.answered()
    named = {"assistant": speaker.assistant, "user_id": who, "db_id": speaker.db_id}
    lines = group.documents("conversations", **named)
    if [line["next_index"] for line in lines] != [len(turns)]:
        wrong.append(f"{who}: {len(turns)} turns, but lines {lines}")


def _account_for_again(group: MongoGroup, speaker: Restless, account: Account) -> None:
    """Every further answer that was given is stored beside the first one, none of them twice."""
    named = {"assistant": speaker.assistant, "user_id": speaker.user_id, "db_id": speaker.db_id}
    stored = {turn["index"]: turn["answers"] for turn in group.documents("turns", **named)}
    account.answered_again += len(speaker.again)
    for index, text in speaker.again:
        if text not in [answer["text"] for answer in stored.get(index, [])[1:]]:
            account.missing.append(f"{speaker.user_id}, turn {index} again: {text!r}")
    for index, answers in stored.items():
        made = Counter((answer["text"], answer["created_at"]) for answer in answers)
        account.doubled += [f"answer to turn {index}: {one}" for one, n in made.items() if n > 1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=LONG_RUN_S)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--json", type=Path, default=None, help="where to write the account")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    sys.stdout.write(f"seed {seed}, {options.seconds:g} s\n")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        account = run(folder, seconds=options.seconds, seed=seed)
    except BaseException:
        sys.stdout.write(f"logs and data of this run: {folder}\n")
        raise
    least = min(account.kills.values())
    if options.seconds >= LONG_RUN_S and least < 3:
        account.wrong.append(f"a part was killed {least} times only")
    told = asdict(account)
    told["kills"] = account.kills
    for name, value in told.items():
        sys.stdout.write(f"{name}: {value}\n")
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", "utf-8")
    sys.stdout.write("good\n" if account.is_good else f"NOT GOOD; logs and data: {folder}\n")
    return 0 if account.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
