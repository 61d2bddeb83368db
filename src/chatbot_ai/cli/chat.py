"""`chatbot-ai chat`: talk to an assistant in the terminal, streaming."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console

from chatbot_ai.cli.language import LanguageOption, language_of
from chatbot_ai.llm.sse import SseDecoder

TEXTS = {
    "you": {"ko": "나", "en": "you"},
    "hint": {
        "ko": "대화를 끝내려면 Ctrl-D, 답을 멈추려면 Ctrl-C",
        "en": "Ctrl-D ends the chat, Ctrl-C stops an answer",
    },
    "queued": {
        "ko": "대기 {position}번째, 약 {wait}초",
        "en": "number {position} in the queue, about {wait} s",
    },
    "away": {
        "ko": "{url} 에 연결할 수 없습니다. 먼저 `make run`을 실행하세요.",
        "en": "{url} cannot be reached. Run `make run` first.",
    },
    "stopped": {"ko": "(멈춤)", "en": "(stopped)"},
}

#: Longer than any deadline a service may have.
READ_TIMEOUT_S = 3700


def chat(
    assistant: Annotated[str, typer.Argument(help="office | character")] = "office",
    url: Annotated[str, typer.Option(help="Gateway")] = "http://localhost:8001",
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
    body: dict[str, Any] = {"user_id": user, "db_id": conversation or uuid.uuid4().hex}
    if assistant == "character":
        body |= {"character_name": name, "greeting": greeting, "context": context}
        console.print(f"[bold cyan]{name}[/]: {greeting}")
    else:
        body["google_access"] = search
    console.print(f"[dim]{TEXTS['hint'][language]} · db_id {body['db_id']}[/]")
    headers = {"Accept": "text/event-stream", "Accept-Language": language}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=5)
    with httpx2.Client(headers=headers, timeout=timeout) as client:
        while True:
            try:
                line = console.input(f"[bold green]{TEXTS['you'][language]}[/]: ").strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            if not line:
                continue
            try:
                talk(
                    client,
                    f"{url}/{assistant}/{model}",
                    body | {"input_data": line},
                    console,
                    language,
                )
            except httpx2.ConnectError:
                console.print(TEXTS["away"][language].format(url=url))
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                console.print(f" [dim]{TEXTS['stopped'][language]}[/]")


def talk(
    client: httpx2.Client, address: str, body: dict[str, Any], console: Console, language: str
) -> None:
    """Send one message and print the answer as it comes."""
    with client.stream("POST", address, json=body) as response:
        if response.status_code != 200:
            response.read()
            console.print(f"[red]{response.json()['error']['message']}[/]")
            return
        decoder = SseDecoder()
        for chunk in response.iter_raw():
            for data in decoder.feed(chunk):
                show(json.loads(data), console, language)
    console.print()


def show(event: dict[str, Any], console: Console, language: str) -> None:
    """Print one event by what it holds."""
    if "text" in event:
        console.print(event["text"], end="", markup=False, soft_wrap=True)
    elif "position" in event:
        wait = "?" if event["wait_s"] is None else f"{event['wait_s']:.0f}"
        text = TEXTS["queued"]["en" if language == "en" else "ko"]
        console.print(f"[dim]{text.format(position=event['position'], wait=wait)}[/]")
    elif "code" in event:
        console.print(f"\n[red]{event['message']}[/]")
    for source in event.get("sources", []) if "finish_reason" in event else []:
        console.print(f"\n[dim]\\[{source['n']}] {source['title']} {source['url']}[/]", end="")
