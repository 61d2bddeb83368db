"""`chatbot-ai history`: back up, restore, delete and move conversations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from chatbot_ai.cli.history_places import DataFolder, resolved
from chatbot_ai.cli.history_texts import TEXTS
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError, Unavailable
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.storage.backup import read_backup, turns_in_backup, write_backup
from chatbot_ai.storage.location import database_of, store_at
from chatbot_ai.storage.predecessor import PredecessorHistory
from chatbot_ai.storage.transfer import Record, Tally, copy, history

#: Exit codes beside 0 and Typer's 2 for a wrong command line.
DISAGREES, BAD_INPUT, UNAVAILABLE = 1, 3, 4


class Language(StrEnum):
    """The language of the output."""

    ko = "ko"
    en = "en"


class AssistantName(StrEnum):
    """The assistants, as a command-line choice."""

    office = "office"
    character = "character"


StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="저장소: sqlite:파일, mongodb://…, env:이름 / sqlite:PATH, mongodb://… or env:NAME",
    ),
]
AssistantOption = Annotated[
    AssistantName | None, typer.Option("--assistant", help="한 서비스만 / only this assistant")
]
UserOption = Annotated[str | None, typer.Option("--user", help="한 사용자만 / only this user")]
LanguageOption = Annotated[Language, typer.Option("--lang", help="출력 언어 / output language")]


def history_app(
    configured: Callable[[], ConversationStore], folder: Callable[[], DataFolder]
) -> typer.Typer:
    """Return the sub-app; `configured` makes the store that the settings name, not yet open, and
    `folder` tells what lies beside it."""
    app = typer.Typer(
        name="history",
        help="대화 기록 백업·복원·삭제·이전 / back up, restore, delete and move conversations",
        no_args_is_help=True,
    )

    def chosen(location: str | None, *, must_exist: bool) -> ConversationStore:
        if location is None:
            return configured()
        return store_at(resolved(location), must_exist=must_exist)

    @app.command("export", help="JSONL 파일로 백업 / back up to a JSONL file")
    def export(
        file: Path,
        store: StoreOption = None,
        assistant: AssistantOption = None,
        user: UserOption = None,
        lang: LanguageOption = Language.ko,
    ) -> None:
        async def work(console: Console) -> int:
            async with _opened(chosen(store, must_exist=True)) as source:
                with _progress(console) as progress:
                    task = progress.add_task(TEXTS["exporting"][lang.value], total=None)
                    records = _counted(
                        history(source, _name(assistant), user),
                        lambda: progress.advance(task),
                    )
                    count = await write_backup(file, records)
            console.print(TEXTS["exported"][lang.value].format(turns=count, file=file))
            if store is None:
                await _tell_waiting(console, folder(), user, _name(assistant), lang)
            return 0

        _run(work, lang)

    @app.command("import", help="백업 복원, 다시 실행해도 안전 / restore a backup, safe to repeat")
    def import_(file: Path, store: StoreOption = None, lang: LanguageOption = Language.ko) -> None:
        async def work(console: Console) -> int:
            expected = turns_in_backup(file)
            async with _opened(chosen(store, must_exist=False)) as target:
                tally = await _copied(
                    console, read_backup(file), target, lang, total=expected, apply=True
                )
            return _report(console, tally, lang, agrees=tally.agrees and tally.read == expected)

        _run(work, lang)

    @app.command("delete", help="한 사용자의 모든 기록 삭제 / delete all data of one user")
    def delete(
        user: str,
        store: StoreOption = None,
        assistant: AssistantOption = None,
        yes: Annotated[bool, typer.Option("--yes", help="묻지 않음 / do not ask")] = False,
        lang: LanguageOption = Language.ko,
    ) -> None:
        if not yes:
            typer.confirm(TEXTS["confirm_delete"][lang.value].format(user=user), abort=True)

        async def work(console: Console) -> int:
            beside = folder() if store is None else None
            target = chosen(store, must_exist=True)
            return await _deleted(console, target, beside, user, _name(assistant), lang)

        _run(work, lang)

    @app.command("migrate", help="다른 저장소로 이전 (기본: 시험 실행) / move to another store")
    def migrate(
        source: Annotated[
            str, typer.Option("--from", help="원본 / sqlite:PATH, mongodb://… or env:NAME")
        ],
        target: Annotated[str | None, typer.Option("--to", help="대상 / target store")] = None,
        predecessor: Annotated[
            bool, typer.Option("--predecessor", help="v1.7 구조의 원본 / source is of v1.7")
        ] = False,
        apply: Annotated[bool, typer.Option("--apply", help="실제로 이전 / really do it")] = False,
        lang: LanguageOption = Language.ko,
    ) -> None:
        async def work(console: Console) -> int:
            tally = Tally()
            place = resolved(source)
            async with _opened(chosen(target, must_exist=False)) as to:
                if predecessor:
                    old = PredecessorHistory(place, database_of(place))
                    try:
                        total = await _told_size(console, old.records(Tally()), lang)
                        records = old.records(tally)
                        await _copied(
                            console, records, to, lang, apply=apply, tally=tally, total=total
                        )
                    finally:
                        await old.close()
                else:
                    async with _opened(store_at(place, must_exist=True)) as of:
                        total = await _told_size(console, history(of), lang)
                        await _copied(
                            console, history(of), to, lang, apply=apply, tally=tally, total=total
                        )
            if not apply:
                console.print(TEXTS["dry_run"][lang.value])
            return _report(console, tally, lang, agrees=tally.agrees)

        _run(work, lang)

    return app


async def _tell_waiting(
    console: Console,
    beside: DataFolder,
    user_id: str | None,
    assistant: Assistant | None,
    lang: Language,
) -> None:
    count = await beside.waiting(user_id, assistant)
    if count:
        console.print(TEXTS["waiting"][lang.value].format(count=count))


async def _deleted(
    console: Console,
    target: ConversationStore,
    beside: DataFolder | None,
    user_id: str,
    assistant: Assistant | None,
    lang: Language,
) -> int:
    """Delete a user's data. What waits goes first, as it must not arrive behind the deletion, and
    what lies here can be deleted while the database is away."""
    if beside is not None:
        waiting, characters = await beside.forget(user_id, assistant)
        told = TEXTS["forgotten"][lang.value]
        console.print(told.format(waiting=waiting, characters=characters))
    async with _opened(target):
        removed = await target.delete_user(user_id, assistant)
        left = [key async for key, _ in target.scan(assistant, user_id)]
    console.print(TEXTS["deleted"][lang.value].format(turns=removed))
    return DISAGREES if left else 0


async def _copied(
    console: Console,
    records: AsyncIterator[Record],
    target: ConversationStore,
    lang: Language,
    *,
    apply: bool,
    total: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    with _progress(console) as progress:
        task = progress.add_task(TEXTS["copying"][lang.value], total=total)
        return await copy(
            records,
            target,
            apply=apply,
            on_progress=lambda now: progress.update(task, completed=now.read),
            tally=tally,
        )


async def _told_size(console: Console, records: AsyncIterator[Record], lang: Language) -> int:
    """Count a source, say so, and return how many turns it has."""
    turns, conversations, last = 0, 0, None
    async for record in records:
        if record.turn is not None:
            turns += 1
            conversations += record.key != last
            last = record.key
    console.print(TEXTS["source"][lang.value].format(conversations=conversations, turns=turns))
    return turns


def _report(console: Console, tally: Tally, lang: Language, *, agrees: bool) -> int:
    values = {name: getattr(tally, name) for name in Tally.__slots__}
    console.print(TEXTS["tally"][lang.value].format(**values))
    for kind, place in tally.named:
        console.print(f"  {TEXTS[kind][lang.value]}: {place}", markup=False, soft_wrap=True)
    console.print(TEXTS["agrees" if agrees else "disagrees"][lang.value])
    return 0 if agrees else DISAGREES


def _name(assistant: AssistantName | None) -> Assistant | None:
    return None if assistant is None else assistant.value


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console)


async def _counted(
    records: AsyncIterator[Record], count: Callable[[], None]
) -> AsyncIterator[Record]:
    async for record in records:
        if record.turn is not None:
            count()
        yield record


@asynccontextmanager
async def _opened(store: ConversationStore) -> AsyncIterator[ConversationStore]:
    await store.open()
    try:
        await store.check()
        yield store
    finally:
        await store.close()


def _run(work: Callable[[Console], Coroutine[Any, Any, int]], lang: Language) -> None:
    """Run a command and end the process with its exit code."""
    console = Console()
    try:
        code = asyncio.run(work(console))
    except Unavailable as error:
        console.print(TEXTS["unavailable"][lang.value].format(reason=error), markup=False)
        code = UNAVAILABLE
    except (ConfigurationError, OSError) as error:
        console.print(TEXTS["bad_input"][lang.value].format(reason=error), markup=False)
        code = BAD_INPUT
    raise typer.Exit(code)
