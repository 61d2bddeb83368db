"""`chatbot-ai chat`: talk to an assistant in the terminal, streaming."""

from __future__ import annotations

import json
import uuid
from enum import StrEnum
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console
from rich.text import Text

from chatbot_ai.api.messages import message
from chatbot_ai.cli.chat_texts import TEXTS
from chatbot_ai.cli.language import Language, LanguageOption, language_of
from chatbot_ai.llm.sse import EventTooLong, SseDecoder
from chatbot_ai.settings import load_config

#: Longer than any deadline a service may have.
READ_TIMEOUT_S = 3700


class Talked(StrEnum):
    """Whom to talk to."""

    office = "office"
    character = "character"


def chat(
    assistant: Annotated[Talked, typer.Argument(help="Whom to talk to.")] = Talked.office,
    url: Annotated[
        str, typer.Option(help="Gateway; this machine's own when empty.", show_default=False)
    ] = "",
    model: Annotated[str, typer.Option(help="Llama or an alias")] = "Llama",
    user: Annotated[str, typer.Option(help="user_id")] = "terminal",
    conversation: Annotated[str, typer.Option(help="db_id; new when empty")] = "",
    name: Annotated[str, typer.Option(help="character_name")] = "AI Assistant",
    greeting: Annotated[str, typer.Option(help="greeting")] = "안녕하세요! 반갑습니다.",
    context: Annotated[str, typer.Option(help="context")] = "친근한 AI 어시스턴트",
    search: Annotated[bool, typer.Option(help="google_access")] = False,
    key: Annotated[str, typer.Option(help="API key", envvar="CHATBOT_AI_KEY")] = "",
    lang: LanguageOption = "ko",
) -> None:
    """Talk to an assistant; each line is a message."""
    language = language_of(lang)
    console = Console(highlight=False)
    url = url.rstrip("/") or f"http://localhost:{load_config().shared.gateway_port}"
    body: dict[str, Any] = {"user_id": user, "db_id": conversation or uuid.uuid4().hex}
    if assistant is Talked.character:
        body |= {"character_name": name, "greeting": greeting, "context": context}
        console.print(Text.assemble((name, "bold cyan"), f": {greeting}"))
    else:
        body["google_access"] = search
    console.print(Text(f"{TEXTS['hint'][language]} · db_id {body['db_id']}", "dim"))
    headers = {"Accept": "text/event-stream", "Accept-Language": language}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=5)
    with httpx2.Client(headers=headers, timeout=timeout) as client:
        while True:
            try:
                line = console.input(Text(f"{TEXTS['you'][language]}: ", "bold green")).strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            if not line:
                continue
            try:
                said = body | {"input_data": line}
                talk(client, f"{url}/{assistant.value}/{model}", said, console, language)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
                console.print(Text(TEXTS["away"][language].format(url=url), "red"))
                raise typer.Exit(1) from None
            except httpx2.HTTPError:
                console.print(Text(f"\n{TEXTS['broken'][language]}", "red"))
            except KeyboardInterrupt:
                console.print(Text(f" {TEXTS['stopped'][language]}", "dim"))


def talk(
    client: httpx2.Client, address: str, body: dict[str, Any], console: Console, language: Language
) -> None:
    """Send one message and print the answer as it comes. Raises httpx2.HTTPError."""
    with client.stream("POST", address, json=body) as response:
        kind = response.headers.get("Content-Type", "")
        if response.status_code != 200 or not kind.startswith("text/event-stream"):
            response.read()
            console.print(Text(_refusal(response, language), "red"))
            return
        decoder = SseDecoder()
        ended = False
        try:
            for chunk in response.iter_raw():
                for data in decoder.feed(chunk):
                    event = json.loads(data)
                    ended = ended or "finish_reason" in event or "code" in event
                    show(event, console, language)
        except (EventTooLong, ValueError):
            ended = False
    if not ended:
        console.print(Text(f"\n{TEXTS['broken'][language]}", "red"))
    console.print()


def _refusal(response: httpx2.Response, language: Language) -> str:
    """The service's own sentence, or one of ours where something else stands at the address."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return TEXTS["strange"][language].format(status=response.status_code, url=response.url)


def show(event: dict[str, Any], console: Console, language: Language) -> None:
    """Print one event by what it holds."""
    if "text" in event:
        console.print(event["text"], end="", markup=False, soft_wrap=True)
    elif "position" in event:
        wait = "?" if event["wait_s"] is None else f"{event['wait_s']:.0f}"
        told = TEXTS["queued"][language].format(position=event["position"], wait=wait)
        console.print(Text(told, "dim"))
    elif "code" in event:
        console.print(Text(f"\n{event['message']}", "red"))
    elif "finish_reason" in event:
        _show_end(event, console, language)


def _show_end(done: dict[str, Any], console: Console, language: Language) -> None:
    """What the answer rests on, what went otherwise than asked for, and who gave it."""
    notes = [f"[{source['n']}] {source['title']} {source['url']}" for source in done["sources"]]
    notes += [message(warning, language) for warning in done["warnings"]]
    if done["finish_reason"] == "length":
        notes.append(TEXTS["cut"][language])
    if left_out := done["context"]["turns_left_out"]:
        notes.append(TEXTS["left_out"][language].format(turns=left_out))
    given_by = TEXTS["backup" if done["backup"] else "model"][language]
    notes.append(given_by.format(model=done["model"]))
    for note in notes:
        console.print(Text(f"\n{note}", "dim"), end="")
