"""`chatbot-ai keys`: create, list, revoke and delete API keys."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.table import Table
from rich.text import Text

from chatbot_ai.access.key import Key, KeyKind, Limits
from chatbot_ai.access.ledger import KeyLedger, clean_names
from chatbot_ai.cli.terminal import LanguageOption, Terminal, echo, say
from chatbot_ai.domain.errors import InvalidRequest, NotFound
from chatbot_ai.messages import Language, get_message
from chatbot_ai.server.guard import keys_file
from chatbot_ai.settings import load_config

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="cbk_…, keys list")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON")]


app = typer.Typer(no_args_is_help=True, add_completion=False, help="API 키 · API keys")


@app.command(help="API 키 만들기(한 번만 표시) · Create an API key; it is shown only once")
def create(
    name: Annotated[str, typer.Option(help="API 키의 용도 · What the key is for")] = "",
    kind: Annotated[KeyKind, typer.Option(help="backend: 모든 사용자 · any user_id")] = "backend",
    user: Annotated[str | None, typer.Option(help="user_id (--kind user)")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="분당 요청 · Requests a minute")] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option(min=1, help="하루 토큰 · Tokens a day")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option(min=1, help="동시 요청 · Requests at once")
    ] = None,
    as_json: AsJson = False,
    language: LanguageOption = "ko",
) -> None:
    title, owner = _check_names(kind, name, user, language)
    with KeyLedger(keys_file(load_config().shared)) as ledger:
        is_first = not ledger.list_keys()
        key, secret = ledger.create(
            kind,
            name=title or owner or kind,
            now=time.time(),
            user_id=owner,
            limits=Limits(rpm, tokens_per_day, concurrent),
        )
    if as_json:
        echo(json.dumps({"key": secret, "id": key.id}))
        return
    # the key alone on standard output, so that `KEY=$(chatbot-ai keys create …)` is one
    say("cli.keys.created", language, id=key.id, err=True)
    if is_first:
        say("cli.keys.first", language, err=True)
    typer.echo(secret)
    say("cli.keys.usage", language, err=True)


@app.command("list", help="API 키 목록 · List the API keys")
def list_keys(as_json: AsJson = False, language: LanguageOption = "ko") -> None:
    shared = load_config().shared
    keys: list[Key] = []
    tokens: dict[str, int] = {}
    if keys_file(shared).exists():
        with KeyLedger(keys_file(shared)) as ledger:
            today = dt.datetime.now(shared.zone).date().isoformat()
            keys, tokens = ledger.list_keys(), ledger.tokens_of_day(today)
    if as_json:
        echo(json.dumps([_to_dict(k, tokens) for k in keys], ensure_ascii=False))
    elif not keys:
        say("cli.keys.none", language)
    else:
        Terminal().print(_build_table(keys, tokens, shared.zone, language))


@app.command(help="API 키 폐기 · Revoke an API key")
def revoke(key: KeyId, language: LanguageOption = "ko") -> None:
    with _open_ledger(key, language) as ledger:
        ledger.revoke(key, time.time())
    say("cli.keys.revoked", language, id=key)


@app.command(help="API 키와 사용 기록 삭제 · Delete an API key and its usage")
def delete(
    key: KeyId,
    yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
    language: LanguageOption = "ko",
) -> None:
    with _open_ledger(key, language) as ledger:
        found = next((k for k in ledger.list_keys() if k.id == key), None)
        if found is not None and not yes:
            text = get_message("cli.keys.confirm", language, id=key, name=found.name)
            typer.confirm(text, abort=True)
        ledger.delete(key)
        is_last = not ledger.list_keys()
    say("cli.keys.deleted", language, id=key)
    if is_last:
        say("cli.keys.last_deleted", language, err=True)


def _check_names(
    kind: KeyKind, name: str, user: str | None, language: Language
) -> tuple[str, str | None]:
    try:
        return clean_names(kind, name, user)
    except InvalidRequest as error:
        wrong = "cli.keys.name_wrong" if error.field == "name" else "cli.keys.user_needed"
        say(wrong, language, err=True)
        raise typer.Exit(2) from None


@contextmanager
def _open_ledger(key_id: str, language: Language) -> Iterator[KeyLedger]:
    """The open ledger; an unknown key ends the process with 1."""
    try:
        with KeyLedger(keys_file(load_config().shared)) as ledger:
            yield ledger
    except NotFound:
        say("cli.keys.unknown", language, id=key_id, err=True)
        sys.exit(1)


def _to_dict(key: Key, tokens: dict[str, int]) -> dict[str, Any]:
    """A key for machines; times are Unix seconds."""
    return {
        "id": key.id,
        "name": key.name,
        "kind": key.kind,
        "user_id": key.user_id,
        **asdict(key.limits),
        "tokens_today": tokens.get(key.id, 0),
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def _build_table(
    keys: list[Key], tokens: dict[str, int], zone: ZoneInfo, language: Language
) -> Table:
    table = Table(box=None)
    table.add_column(get_message("cli.keys.id", language), no_wrap=True)
    for heading in (
        "name", "kind", "user", "rpm", "tokens", "concurrent", "made", "used", "state",
    ):  # fmt: skip
        table.add_column(get_message(f"cli.keys.{heading}", language), overflow="fold")
    for key in keys:
        limits = key.limits
        spent = f"{tokens.get(key.id, 0):,}"
        if limits.tokens_per_day is not None:
            spent += f" / {limits.tokens_per_day:,}"
        table.add_row(
            key.id,
            Text(key.name),
            get_message(f"cli.keys.kind_{key.kind}", language),
            Text(key.user_id or ""),
            str(limits.requests_per_minute or ""),
            spent,
            str(limits.concurrent or ""),
            _format_time(key.created_at, zone),
            _format_time(key.last_used_at, zone),
            get_message(
                "cli.keys.revoked_state" if key.revoked_at else "cli.keys.active", language
            ),
        )
    return table


def _format_time(at: float | None, zone: ZoneInfo) -> str:
    return "" if at is None else dt.datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")
