"""`chatbot-ai chat`: talk to an assistant in the terminal, streaming."""

from __future__ import annotations

import json
import uuid
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx2
import typer
from rich.console import Console
from rich.text import Text

from chatbot_ai.cli.terminal import LanguageOption, Terminal
from chatbot_ai.domain.access import is_loopback
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.llm.sse import EventTooLong, SseDecoder
from chatbot_ai.messages import Language, get_message, has_message
from chatbot_ai.settings import load_config

#: Longer than any deadline a service may have.
READ_TIMEOUT_S = 3700


app = typer.Typer(add_completion=False)


@app.command()
def chat(
    assistant: Annotated[Assistant, typer.Argument(help="Whom to talk to.")] = "office",
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
    language: LanguageOption = "ko",
) -> None:
    """Talk to an assistant; each line is a message."""
    console = Terminal(highlight=False)
    url = url.rstrip("/") or load_config().shared.gateway_url
    body: dict[str, Any] = {"user_id": user, "db_id": conversation or uuid.uuid4().hex}
    if assistant == "character":
        body |= {"character_name": name, "greeting": greeting, "context": context}
        console.print(Text.assemble((name, "bold cyan"), f": {greeting}"))
    else:
        body["google_access"] = search
    console.print(Text(f"{get_message('cli.chat.hint', language)} · db_id {body['db_id']}", "dim"))
    headers = {"Accept": "text/event-stream", "Accept-Language": language}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    with _open_client(url, headers, language) as client:
        while True:
            try:
                line = console.input(
                    Text(f"{get_message('cli.chat.you', language)}: ", "bold green")
                ).strip()
            except (EOFError, KeyboardInterrupt):
                console.print()
                return
            if not line:
                continue
            try:
                message = body | {"input_data": line}
                send_message(client, f"{url}/{assistant}/{model}", message, console, language)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol):
                console.print(Text(get_message("cli.chat.unreachable", language, url=url), "red"))
                raise typer.Exit(1) from None
            except httpx2.HTTPError:
                console.print(Text(f"\n{get_message('cli.chat.cut_off', language)}", "red"))
            except KeyboardInterrupt:
                console.print(Text(f" {get_message('cli.chat.stopped', language)}", "dim"))


def _open_client(url: str, headers: dict[str, str], language: Language) -> httpx2.Client:
    """A client for the gateway; what is for this machine goes through no proxy."""
    host = urlsplit(url).hostname or ""
    try:
        return httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=5),
            trust_env=not (host == "localhost" or is_loopback(host)),
        )
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise ConfigurationError(get_message("models.proxy", language)) from error


def send_message(
    client: httpx2.Client, address: str, body: dict[str, Any], console: Console, language: Language
) -> None:
    """Send one message and print the answer as it comes. Raises httpx2.HTTPError."""
    with client.stream("POST", address, json=body) as response:
        kind = response.headers.get("Content-Type", "")
        if response.status_code != 200 or not kind.startswith("text/event-stream"):
            response.read()
            console.print(Text(_explain_refusal(response, language), "red"))
            return
        decoder = SseDecoder()
        ended = False
        try:
            for chunk in response.iter_raw():
                for data in decoder.feed(chunk):
                    event = json.loads(data)
                    ended = ended or "finish_reason" in event or "code" in event
                    print_event(event, console, language)
        except (EventTooLong, ValueError):
            ended = False
    if not ended:
        console.print(Text(f"\n{get_message('cli.chat.cut_off', language)}", "red"))
    console.print()


def _explain_refusal(response: httpx2.Response, language: Language) -> str:
    """The service's own sentence, or one of ours where something else stands at the address."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return get_message(
            "cli.chat.foreign", language, status=response.status_code, url=response.url
        )


def print_event(event: dict[str, Any], console: Console, language: Language) -> None:
    """Print one event by what it holds."""
    if "text" in event:
        console.print(event["text"], end="", markup=False, soft_wrap=True)
    elif "position" in event:
        wait = "?" if event["wait_s"] is None else f"{event['wait_s']:.0f}"
        text = get_message("cli.chat.queued", language, position=event["position"], wait=wait)
        console.print(Text(text, "dim"))
    elif "code" in event:
        console.print(Text(f"\n{event['message']}", "red"))
    elif "finish_reason" in event:
        _print_end(event, console, language)


def _print_end(done: dict[str, Any], console: Console, language: Language) -> None:
    """What the answer rests on, what went otherwise than asked for, and who gave it."""
    notes = [f"[{source['n']}] {source['title']} {source['url']}" for source in done["sources"]]
    for warning in done["warnings"]:
        key = f"api.{warning}"
        notes.append(get_message(key, language) if has_message(key) else warning)
    if done["finish_reason"] == "length":
        notes.append(get_message("cli.chat.too_long", language))
    if left_out := done["context"]["turns_left_out"]:
        notes.append(get_message("cli.chat.left_out", language, turns=left_out))
    key = "cli.chat.backup" if done["backup"] else "cli.chat.model"
    notes.append(get_message(key, language, model=done["model"]))
    for note in notes:
        console.print(Text(f"\n{note}", "dim"), end="")
