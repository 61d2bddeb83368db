"""`chatbot-ai keys`: create, list, revoke and delete API keys."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatbot_ai.access.key import Key, Limits
from chatbot_ai.access.ledger import FILE, KeyLedger, cleaned
from chatbot_ai.cli.keys_texts import TEXTS
from chatbot_ai.cli.language import Language, LanguageOption, language_of
from chatbot_ai.domain.errors import InvalidRequest, NotFound


class Kind(StrEnum):
    """Whom a key speaks for: any user, or one."""

    backend = "backend"
    user = "user"


@dataclass(frozen=True, slots=True)
class KeyDefaults:
    """What the settings say: the file of keys, and the zone whose midnight ends a day."""

    path: Path = Path("data") / FILE
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Seoul"))


KeyId = Annotated[str, typer.Argument(metavar="KEY", help="cbk_…, keys list")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON")]


def build_keys(defaults: Callable[[], KeyDefaults]) -> typer.Typer:
    """Return the sub-application; `defaults` is called when a command runs."""
    app = typer.Typer(name="keys", no_args_is_help=True, help="API 키 · API keys")

    @app.command(help="키 만들기(한 번만 보임) · Create a key, which is shown once")
    def create(
        name: Annotated[str, typer.Option(help="무엇을 위한 키 · What the key is for")] = "",
        kind: Annotated[Kind, typer.Option(help="backend: 모든 사용자 · any user_id")] = (
            Kind.backend
        ),
        user: Annotated[str | None, typer.Option(help="user_id (--kind user)")] = None,
        rpm: Annotated[int | None, typer.Option(min=1, help="분당 요청 · Requests a minute")] = (
            None
        ),
        tokens_per_day: Annotated[
            int | None, typer.Option(min=1, help="하루 토큰 · Tokens a day")
        ] = None,
        concurrent: Annotated[
            int | None, typer.Option(min=1, help="동시 요청 · Requests at once")
        ] = None,
        as_json: AsJson = False,
        lang: LanguageOption = "ko",
    ) -> None:
        language = language_of(lang)
        title, owner = _names(kind, name, user, language)
        with KeyLedger(defaults().path) as ledger:
            is_first = not ledger.list_keys()
            key, secret = ledger.create(
                kind.value,
                name=title or owner or kind.value,
                now=time.time(),
                user_id=owner,
                limits=Limits(rpm, tokens_per_day, concurrent),
            )
        if as_json:
            typer.echo(json.dumps({"key": secret, "id": key.id}))
            return
        # the key alone on standard output, so that `KEY=$(chatbot-ai keys create …)` is one
        typer.echo(TEXTS["created"][language].format(id=key.id), err=True)
        if is_first:
            typer.echo(TEXTS["first"][language], err=True)
        typer.echo(secret)
        typer.echo(TEXTS["usage"][language], err=True)

    @app.command("list", help="키 목록 · List the keys")
    def list_keys(as_json: AsJson = False, lang: LanguageOption = "ko") -> None:
        language, known = language_of(lang), defaults()
        if not known.path.exists():
            keys, tokens = [], {}
        else:
            with KeyLedger(known.path) as ledger:
                today = dt.datetime.now(known.zone).date().isoformat()
                keys, tokens = ledger.list_keys(), ledger.tokens_of_day(today)
        if as_json:
            typer.echo(json.dumps([_described(k, tokens) for k in keys], ensure_ascii=False))
        elif not keys:
            typer.echo(TEXTS["none"][language])
        else:
            Console().print(_table(keys, tokens, known.zone, language))

    @app.command(help="키 폐기 · Refuse a key from now on")
    def revoke(key: KeyId, lang: LanguageOption = "ko") -> None:
        language = language_of(lang)
        with _spoken(key, language), KeyLedger(defaults().path) as ledger:
            ledger.revoke(key, time.time())
        typer.echo(TEXTS["revoked"][language].format(id=key))

    @app.command(help="키와 사용 기록 지우기 · Forget a key and what it used")
    def delete(
        key: KeyId,
        yes: Annotated[bool, typer.Option("--yes", "-y")] = False,
        lang: LanguageOption = "ko",
    ) -> None:
        language = language_of(lang)
        with _spoken(key, language), KeyLedger(defaults().path) as ledger:
            found = next((k for k in ledger.list_keys() if k.id == key), None)
            if found is not None and not yes:
                text = TEXTS["confirm"][language].format(id=key, name=found.name)
                typer.confirm(text, abort=True)
            ledger.delete(key)
            is_last = not ledger.list_keys()
        typer.echo(TEXTS["deleted"][language].format(id=key))
        if is_last:
            typer.echo(TEXTS["opened"][language], err=True)

    return app


def _names(kind: Kind, name: str, user: str | None, language: Language) -> tuple[str, str | None]:
    try:
        return cleaned(kind.value, name, user)
    except InvalidRequest as error:
        wrong = "name_wrong" if error.field == "name" else "user_needed"
        typer.echo(TEXTS[wrong][language], err=True)
        raise typer.Exit(2) from None


@contextmanager
def _spoken(key_id: str, language: Language) -> Iterator[None]:
    try:
        yield
    except NotFound:
        typer.echo(TEXTS["unknown"][language].format(id=key_id), err=True)
        sys.exit(1)


def _described(key: Key, tokens: dict[str, int]) -> dict[str, Any]:
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


def _table(keys: list[Key], tokens: dict[str, int], zone: ZoneInfo, language: Language) -> Table:
    table = Table(box=None)
    table.add_column(TEXTS["id"][language], no_wrap=True)
    for heading in (
        "name", "kind", "user", "rpm", "tokens", "concurrent", "made", "used", "state",
    ):  # fmt: skip
        table.add_column(TEXTS[heading][language], overflow="fold")
    for key in keys:
        limits = key.limits
        spent = f"{tokens.get(key.id, 0):,}"
        if limits.tokens_per_day is not None:
            spent += f" / {limits.tokens_per_day:,}"
        table.add_row(
            key.id,
            Text(key.name),
            TEXTS["backend" if key.kind == "backend" else "user_kind"][language],
            Text(key.user_id or ""),
            str(limits.requests_per_minute or ""),
            spent,
            str(limits.concurrent or ""),
            _time(key.created_at, zone),
            _time(key.last_used_at, zone),
            TEXTS["off" if key.revoked_at else "active"][language],
        )
    return table


def _time(at: float | None, zone: ZoneInfo) -> str:
    return "" if at is None else dt.datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")
