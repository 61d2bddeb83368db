"""Call every route of a real installation with calls that nobody thought of.

    scripts/fuzz_check.py [--requests 10000] [--seed 7] [--seconds 7200]

Starts a group of its own (gateway, both services, engine, a small model). Bodies come by drops,
schemas repeat repetitions, cards come in any shape; each operation of both OpenAPI documents is
called with values that the document allows and values that it does not, half of them with ids that
exist and some with texts that are dear to read; every path with every other method, and with bytes
that are no request.
No answer may be a 500, in another form than errors have, or of a status that is not documented;
nothing may hang, restart or stay behind, and the services' memory must stay what it was. Exits
with 1 where something is wrong. The same seed makes the same calls.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import requests

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "e2e")]

from support import fuzzing  # noqa: E402
from support.bad_bytes import MALFORMED, NOT_JSON  # noqa: E402
from support.http_calls import body, raw  # noqa: E402
from support.possessions import assignments, possessions  # noqa: E402
from support.process_group import ASSISTANTS, Group, Part, brief, eventually, started  # noqa: E402
from support.route_calls import Operation, Schema  # noqa: E402

#: Calls of one operation before the next one has its turn.
ROUND = 25
#: Seconds after which a call counts as hanging; the services' own deadline is shorter.
HANG_S = 90.0
#: Calls between two looks at the memory, and how many make its trend worth judging.
SAMPLE_EVERY, JUDGED_FROM = 250, 4000
#: What the services may hold more at the end than after the warm-up: a share, or so many bytes.
GROWTH_SHARE, GROWTH_BYTES = 0.05, 16 << 20
WARM_UP_SHARE = 0.25
PARTS: tuple[Part, ...] = ("engine", "office", "character", "gateway")
#: Bodies that come slowly at once; fewer than one address may have open.
SLOW_BODIES = 16
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
HIDDEN = ("/docs", "/openapi.json", "/docs-static/swagger-ui.css")
JSON = {"Content-Type": "application/json"}


@dataclass
class Run:
    """One check under way."""

    group: Group
    seed: int
    until: float
    findings: fuzzing.Findings = field(default_factory=fuzzing.Findings)
    statuses: Counter[int] = field(default_factory=Counter)
    memory: dict[str, list[int]] = field(default_factory=lambda: {n: [] for n in ASSISTANTS})
    slowest: tuple[float, str] = (0.0, "none")
    sent: int = 0
    drawn: int = 0
    answered: int = 0

    def __post_init__(self) -> None:
        self.pids = {part: self.group.pid(part) for part in PARTS}
        self.session = requests.Session()
        self.session.trust_env = False
        self.schemas: dict[str, Schema] = {
            name: self.session.get(f"{self.group.url}/{name}/openapi.json", timeout=HANG_S).json()
            for name in ASSISTANTS
        }

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.until

    def took(self, name: str, began: float) -> None:
        self.sent += 1
        self.slowest = max(self.slowest, (time.monotonic() - began, name))
        if self.sent % SAMPLE_EVERY == 0:
            self.sample()

    def sample(self) -> None:
        for name, values in self.memory.items():
            values.append(resident(self.pids[name]))  # type: ignore[index]

    def rounds(self, wanted: int) -> None:
        """Rounds over all operations until so many calls were made or the time is over."""
        chance = random.Random(self.seed)
        targets = {n: fuzzing.targets(n, schema) for n, schema in self.schemas.items()}
        number, wanted = 0, wanted + self.sent
        while self.sent < wanted and not self.is_over:
            for name in ASSISTANTS:
                order = targets[name][:]
                chance.shuffle(order)
                # what deletes comes last, so that the others find something
                order.sort(key=lambda target: target.operation.method == "DELETE")
                ids = self.made_anew(name)
                for at, target in enumerate(order):
                    seed = (self.seed * 1000 + number) * 1000 + at
                    self.operation(target, ids, min(ROUND, wanted - self.sent), seed)
            number += 1
            sys.stderr.write(f"round {number}: {self.sent} requests\n")

    def made_anew(self, name: str) -> dict[str, set[str]]:
        async def made() -> dict[str, set[str]]:
            base = f"{self.group.url}/{name}/"
            async with httpx2.AsyncClient(base_url=base, timeout=HANG_S, trust_env=False) as http:
                found = body(name, input_data="What is real?")
                return await possessions(http, self.schemas[name], found, user=fuzzing.OWNER)

        return asyncio.run(made())

    def operation(
        self, target: fuzzing.Target, ids: dict[str, set[str]], count: int, seed: int
    ) -> None:
        if count <= 0:
            return
        for case, extras in fuzzing.cases(target, ids, count=count, seed_=seed):
            if self.is_over:
                return
            began = time.monotonic()
            shown = ""
            try:
                base = f"{self.group.url}/{target.assistant}"
                wire = case.as_transport_kwargs(base_url=base, headers=extras)
                answer = self.session.request(**wire, timeout=HANG_S)
            except requests.exceptions.InvalidHeader:
                continue  # the client itself refuses to send it
            except requests.exceptions.RequestException as error:
                self.findings.add(f"{target.name}: {type(error).__name__}", case.as_curl_command())
                answer = None
            self.took(target.name, began)
            if answer is None:
                continue
            self.statuses[answer.status_code] += 1
            self.drawn += 1
            self.answered += answer.ok
            for fault in fuzzing.faults_of(target, answer):
                shown = shown or f"{case.as_curl_command()} {extras}\n    {answer.text[:300]}"
                self.findings.add(f"{target.name}: {fault}", shown)

    def other_methods(self) -> None:
        """Every path with every method that it does not have: 404 or 405, body or none."""
        for name, schema in self.schemas.items():
            ids = self.made_anew(name)
            operations = [target.operation for target in fuzzing.targets(name, schema)]
            paths = {o.path.format(**next(assignments(o, ids))) for o in operations}
            for path in sorted(paths.union(HIDDEN)):
                had = {o.method for o in operations if is_of(o, path)} or {"GET"}
                for method in sorted(set(METHODS) - had):
                    contents: tuple[dict[str, Any], ...] = ({}, {"json": body(name)})
                    for content in contents:
                        self.other_method(method, f"/{name}{path}", content)

    def other_method(self, method: str, path: str, content: dict[str, Any]) -> None:
        began = time.monotonic()
        answer = self.session.request(
            method,
            self.group.url + path,
            timeout=HANG_S,
            **content,
        )
        self.took(f"{method} {path}", began)
        self.statuses[answer.status_code] += 1
        if answer.status_code not in (404, 405):
            self.findings.add(f"{method} {path}: {answer.status_code}", answer.text[:300])
        elif method != "HEAD" and (wrong := fuzzing.wrong_form(answer)):
            self.findings.add(f"{method} {path}: {wrong}", answer.text[:300])

    def bad_bytes(self) -> None:
        """What is no HTTP, and to every operation with a body what is no JSON."""
        for what, request in MALFORMED.items():
            began = time.monotonic()
            status, answer = raw(self.group.url, request)
            self.took(what, began)
            self.statuses[status] += 1
            if not (400 <= status < 500 or status == 505):
                self.findings.add(f"{what}: {status}", answer[:300].decode(errors="replace"))
        for name, schema in self.schemas.items():
            ids = self.made_anew(name)
            for target in fuzzing.targets(name, schema):
                kinds = target.operation.described.get("requestBody", {}).get("content", {})
                if "application/json" not in kinds:
                    continue
                path = target.operation.path.format(**next(assignments(target.operation, ids)))
                for what, content in NOT_JSON.items():
                    began = time.monotonic()
                    refused = self.session.request(
                        target.operation.method,
                        f"{self.group.url}/{name}{path}",
                        params={"user_id": fuzzing.OWNER},
                        data=content,
                        headers=JSON,
                        timeout=HANG_S,
                    )
                    self.took(target.name, began)
                    self.statuses[refused.status_code] += 1
                    for fault in fuzzing.faults_of(target, refused):
                        self.findings.add(f"{target.name}: {fault}: {what}", refused.text[:300])

    def odd_cards(self, count: int) -> None:
        """Cards of any shape; what is imported is played, exported and taken away again."""
        chance = random.Random(self.seed)
        base, user = "/character/characters", {"user_id": fuzzing.OWNER}
        found = {t.name: t for t in fuzzing.targets("character", self.schemas["character"])}
        for _ in range(count):
            if self.is_over:
                return
            content = fuzzing.odd_card(chance)
            answer = self.hostile(found[f"POST {base}/import"], f"{base}/import", content=content)
            if answer is None or answer.status_code != 201:
                continue
            path, name = f"{base}/{answer.json()['id']}", f"{base}/{{character_id}}"
            said = {"input_data": "왔구나", "character_id": answer.json()["id"], **user}
            self.hostile(found["POST /character/Llama"], "/character/Llama", said)
            self.hostile(found[f"GET {name}/prompt"], f"{path}/prompt")
            self.hostile(found[f"GET {name}/export"], f"{path}/export?format=charx")
            self.hostile(found[f"DELETE {name}"], path)

    def nested_schemas(self, count: int) -> None:
        """Forms that an answer must have, which are dear to make a grammar of."""
        chance = random.Random(self.seed)
        path = "/office/v1/chat/completions"
        (target,) = (
            t for t in fuzzing.targets("office", self.schemas["office"]) if t.name == f"POST {path}"
        )
        for _ in range(count):
            if self.is_over:
                return
            form = {"name": "x", "schema": fuzzing.nested_schema(chance)}
            said = {
                "model": "Llama",
                "messages": [{"role": "user", "content": "x"}],
                "max_tokens": 1,
                "response_format": {"type": "json_schema", "json_schema": form},
            }
            self.hostile(target, path, said)

    def hostile(
        self, target: fuzzing.Target, path: str, said: Any = None, content: bytes | None = None
    ) -> requests.Response | None:
        """One call of our own making, judged as the drawn ones are."""
        began, shown = time.monotonic(), json.dumps(said) if content is None else repr(content)
        try:
            answer = self.session.request(
                target.operation.method,
                self.group.url + path,
                params={"user_id": fuzzing.OWNER},
                data=content,
                json=said,
                headers={"Content-Type": "application/octet-stream"} if content else None,
                timeout=HANG_S,
            )
        except requests.exceptions.RequestException as error:
            self.findings.add(f"{target.name}: hostile: {type(error).__name__}", shown)
            return None
        finally:
            self.took(target.name, began)
        self.statuses[answer.status_code] += 1
        for fault in fuzzing.faults_of(target, answer):
            self.findings.add(
                f"{target.name}: hostile: {fault}", f"{shown[:1200]}\n    {answer.text[:300]}"
            )
        return answer

    def slow_bodies(self, count: int) -> None:
        """Bodies that come by drops, and callers that go before the end; nobody waits for them."""
        address = urlsplit(self.group.url)
        head = (
            b"POST /office/Llama HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000000\r\n\r\n{" % address.netloc.encode()
        )
        with ExitStack() as stack:
            slow = [
                stack.enter_context(
                    socket.create_connection((str(address.hostname), address.port or 80), HANG_S)
                )
                for _ in range(count)
            ]
            for connection in slow:
                connection.sendall(head)
            for _ in range(20):
                for connection in slow:
                    with suppress(OSError):  # refused meanwhile
                        connection.sendall(b" " * 997)
                began = time.monotonic()
                answer = self.session.get(f"{self.group.url}/office/healthz", timeout=HANG_S)
                self.took("GET /office/healthz beside slow bodies", began)
                self.statuses[answer.status_code] += 1
                if answer.status_code != 200:
                    self.findings.add("beside slow bodies", f"{answer.status_code} {answer.text}")

    def aftermath(self) -> None:
        """Everything is as ready as before, nothing was restarted and nothing is still at work."""
        for part, pid in self.pids.items():
            if self.group.pid(part) != pid:
                self.findings.add(f"{part} was restarted", str(pid))

        def idle() -> bool:
            return all(
                self.session.get(f"{self.group.url}/{n}/performance", timeout=HANG_S).json()[
                    "active_connections"
                ]
                == 0
                for n in ASSISTANTS
            )

        try:
            eventually(self.group.is_ready, HANG_S, "ready")
            eventually(idle, HANG_S, "nothing is at work")
        except AssertionError as error:
            self.findings.add("afterwards", str(error))
        if self.answered < self.drawn / 10:
            self.findings.add("hardly any call was answered", f"{self.answered} of {self.drawn}")

    def remember(self) -> str:
        """What became of the memory; a finding where it has grown."""
        lines = []
        for name, values in self.memory.items():
            settled = values[int(len(values) * WARM_UP_SHARE) :]
            if self.sent < JUDGED_FROM or len(settled) < 6:
                lines.append(f"{name}: {len(values)} looks are too few to judge it")
                continue
            third = len(settled) // 3
            before = statistics.median(settled[:third])
            after = statistics.median(settled[-third:])
            grown, mb = after - before, 2**20
            lines.append(f"{name}: {before / mb:.1f} MB warmed up, {after / mb:.1f} MB at the end")
            if grown > max(GROWTH_SHARE * before, GROWTH_BYTES):
                self.findings.add(f"{name} holds more memory", f"{grown / mb:.1f} MB more")
        return "; ".join(lines)


def is_of(operation: Operation, path: str) -> bool:
    """Whether a path is one of the operation's; POST /{model} has no other path's name."""
    pattern = re.sub(r"{\w+}", "[^/]+", operation.path)
    return path == "/Llama" if operation.path == "/{model}" else bool(re.fullmatch(pattern, path))


def resident(pid: int | None) -> int:
    """Bytes of memory that a process has in use (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=7200.0, help="at most; the start not counted"
    )
    options = parser.parse_args()
    say = sys.stdout.write
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        quick = {
            **brief(folder),
            "GATEWAY_RATE_PER_S": "100000",
            "GATEWAY_RATE_BURST": "100000",
        }
        with started(folder, **quick) as group:
            began = time.monotonic()
            # half of the time for kinds of our own making, half for what is drawn
            run = Run(group, options.seed, began + options.seconds / 2)
            run.bad_bytes()
            run.other_methods()
            run.slow_bodies(min(SLOW_BODIES, options.requests // 20))
            run.nested_schemas(options.requests // 20)
            run.odd_cards(options.requests // 20)
            run.until = time.monotonic() + options.seconds / 2
            run.rounds(options.requests)
            run.aftermath()
            seconds = time.monotonic() - began
            memory = run.remember()
    say(f"seed {options.seed}: {run.sent} requests, {run.drawn} drawn, in {seconds:.0f} s\n")
    say("statuses: " + ", ".join(f"{s}: {n}" for s, n in sorted(run.statuses.items())) + "\n")
    say(f"slowest: {run.slowest[0]:.2f} s, {run.slowest[1]}\n")
    say(f"memory: {memory}\n")
    for kind, example in sorted(run.findings.found.items()):
        say(f"FOUND {kind}\n    {example[:1500]}\n")
    say(f"{len(run.findings.found)} findings\n")
    return 1 if run.findings.found else 0


if __name__ == "__main__":
    sys.exit(main())
