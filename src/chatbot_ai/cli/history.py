"""`chatbot-ai history`: back up, restore, delete and move conversations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError, Unavailable
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.messages import Language, get_message, read_table
from chatbot_ai.server.stores import build_store, parse_database
from chatbot_ai.settings import process_environment
from chatbot_ai.storage.history_file import count_backup_turns, read_backup, write_backup
from chatbot_ai.storage.outbox_queue import count_waiting, drop_user
from chatbot_ai.storage.predecessor import PredecessorHistory
from chatbot_ai.storage.sqlite_characters import SqliteCharacterStore
from chatbot_ai.storage.transfer import Record, Tally, copy_history, read_history

#: Exit codes beside 0 and Typer's 2 for a wrong command line.
DISAGREES, BAD_INPUT, UNAVAILABLE = 1, 3, 4

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="저장소: sqlite:파일, mongodb://…, env:이름 / sqlite:PATH, mongodb://… or env:NAME",
    ),
]
AssistantOption = Annotated[
    Assistant | None, typer.Option("--assistant", help="한 서비스만 / only this assistant")
]
UserOption = Annotated[str | None, typer.Option("--user", help="한 사용자만 / only this user")]
LanguageOption = Annotated[Language, typer.Option("--lang", help="출력 언어 / output language")]


@dataclass(frozen=True, slots=True)
class DataFolder:
    """What belongs to a deployment beside its conversation store: outboxes and characters."""

    outboxes: Path
    characters: Path

    async def count_waiting(self, user_id: str | None, assistant: Assistant | None) -> int:
        """Return how many turns and answers wait for the database."""
        return await count_waiting(self.outboxes, assistant, user_id)

    async def forget(self, user_id: str, assistant: Assistant | None) -> tuple[int, int]:
        """Delete what waits for a user and the user's characters; return how many of each."""
        dropped = await drop_user(self.outboxes, user_id, assistant)
        if assistant == "office" or not await asyncio.to_thread(self.characters.is_file):
            return dropped, 0
        store = SqliteCharacterStore(self.characters)
        await store.open()
        try:
            return dropped, await store.delete_user(user_id)
        finally:
            await store.close()


def build_history(
    configured: Callable[[], ConversationStore], folder: Callable[[], DataFolder]
) -> typer.Typer:
    """Return the sub-app; `configured` makes the store that the settings name, not yet open, and
    `folder` tells what lies beside it."""
    app = typer.Typer(
        name="history",
        help="대화 기록 백업·복원·삭제·이전 / back up, restore, delete and move conversations",
        no_args_is_help=True,
    )

    def choose_store(location: str | None, *, must_exist: bool) -> ConversationStore:
        if location is None:
            return configured()
        return build_store(resolve_location(location), must_exist=must_exist)

    @app.command("export", help="JSONL 파일로 백업 / back up to a JSONL file")
    def export(
        file: Path,
        store: StoreOption = None,
        assistant: AssistantOption = None,
        user: UserOption = None,
        lang: LanguageOption = "ko",
    ) -> None:
        async def work(console: Console) -> int:
            async with _open(choose_store(store, must_exist=True)) as source:
                with _start_progress(console) as progress:
                    task = progress.add_task(get_message("cli.history.exporting", lang), total=None)
                    records = _count_turns(
                        read_history(source, assistant, user),
                        lambda: progress.advance(task),
                    )
                    count = await write_backup(file, records)
            console.print(get_message("cli.history.exported", lang, turns=count, file=file))
            if store is None:
                await _warn_of_waiting(console, folder(), user, assistant, lang)
            return 0

        _run(work, lang)

    @app.command("import", help="백업 복원, 다시 실행해도 안전 / restore a backup, safe to repeat")
    def import_(file: Path, store: StoreOption = None, lang: LanguageOption = "ko") -> None:
        async def work(console: Console) -> int:
            expected = count_backup_turns(file)
            async with _open(choose_store(store, must_exist=False)) as target:
                tally = await _copy(
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
        lang: LanguageOption = "ko",
    ) -> None:
        if not yes:
            typer.confirm(get_message("cli.history.confirm_delete", lang, user=user), abort=True)

        async def work(console: Console) -> int:
            beside = folder() if store is None else None
            target = choose_store(store, must_exist=True)
            return await _delete(console, target, beside, user, assistant, lang)

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
        lang: LanguageOption = "ko",
    ) -> None:
        async def work(console: Console) -> int:
            tally = Tally()
            place = resolve_location(source)
            async with _open(choose_store(target, must_exist=False)) as to:
                if predecessor:
                    old = PredecessorHistory(place, parse_database(place))
                    try:
                        total = await _print_size(console, old.records(Tally()), lang)
                        records = old.records(tally)
                        await _copy(
                            console, records, to, lang, apply=apply, tally=tally, total=total
                        )
                    finally:
                        await old.close()
                else:
                    async with _open(build_store(place, must_exist=True)) as of:
                        total = await _print_size(console, read_history(of), lang)
                        await _copy(
                            console,
                            read_history(of),
                            to,
                            lang,
                            apply=apply,
                            tally=tally,
                            total=total,
                        )
            if not apply:
                console.print(get_message("cli.history.dry_run", lang))
            return _report(console, tally, lang, agrees=tally.agrees)

        _run(work, lang)

    return app


async def _warn_of_waiting(
    console: Console,
    beside: DataFolder,
    user_id: str | None,
    assistant: Assistant | None,
    lang: Language,
) -> None:
    count = await beside.count_waiting(user_id, assistant)
    if count:
        console.print(get_message("cli.history.waiting", lang, count=count))


async def _delete(
    console: Console,
    target: ConversationStore,
    beside: DataFolder | None,
    user_id: str,
    assistant: Assistant | None,
    lang: Language,
) -> int:
    """Delete a user's data. What waits goes first, as it must not arrive behind the deletion, and
    local data can be deleted while the database is down."""
    if beside is not None:
        waiting, characters = await beside.forget(user_id, assistant)
        console.print(
            get_message("cli.history.deleted_waiting", lang, waiting=waiting, characters=characters)
        )
    async with _open(target):
        removed = await target.delete_user(user_id, assistant)
        left = [key async for key, _ in target.scan(assistant, user_id)]
    console.print(get_message("cli.history.deleted", lang, turns=removed))
    return DISAGREES if left else 0


async def _copy(
    console: Console,
    records: AsyncIterator[Record],
    target: ConversationStore,
    lang: Language,
    *,
    apply: bool,
    total: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    with _start_progress(console) as progress:
        task = progress.add_task(get_message("cli.history.copying", lang), total=total)
        return await copy_history(
            records,
            target,
            apply=apply,
            on_progress=lambda now: progress.update(task, completed=now.read),
            tally=tally,
        )


async def _print_size(console: Console, records: AsyncIterator[Record], lang: Language) -> int:
    """Count a source, say so, and return how many turns it has."""
    turns, conversations, last = 0, 0, None
    async for record in records:
        if record.turn is not None:
            turns += 1
            conversations += record.key != last
            last = record.key
    console.print(get_message("cli.history.source", lang, conversations=conversations, turns=turns))
    return turns


def _report(console: Console, tally: Tally, lang: Language, *, agrees: bool) -> int:
    values = {name: getattr(tally, name) for name in Tally.__slots__}
    console.print(get_message("cli.history.tally", lang, **values))
    for kind, place in tally.named:
        name = get_message(f"cli.history.{kind}", lang)
        console.print(f"  {name}: {place}", markup=False, soft_wrap=True)
    console.print(get_message("cli.history.agrees" if agrees else "cli.history.disagrees", lang))
    return 0 if agrees else DISAGREES


def _start_progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console)


async def _count_turns(
    records: AsyncIterator[Record], count: Callable[[], None]
) -> AsyncIterator[Record]:
    async for record in records:
        if record.turn is not None:
            count()
        yield record


def resolve_location(location: str) -> str:
    """Return `location`, or the value of the variable that `env:NAME` names: a command line shows
    its passwords to everybody on the machine."""
    if not location.startswith("env:"):
        return location
    name = location.removeprefix("env:")
    value = process_environment().get(name)
    if not value:
        raise ConfigurationError(f"the environment variable {name} is not set")
    return value


@asynccontextmanager
async def _open(store: ConversationStore) -> AsyncIterator[ConversationStore]:
    await store.open()
    try:
        await store.check()
        yield store
    finally:
        await store.close()


def _run(work: Callable[[Console], Coroutine[Any, Any, int]], lang: Language) -> None:
    """Run a command and end the process with its exit code."""
    console = Console()
    read_table("cli")  # now, not from the disk while a store is used
    try:
        code = asyncio.run(work(console))
    except Unavailable as error:
        console.print(get_message("cli.history.unavailable", lang, reason=error), markup=False)
        code = UNAVAILABLE
    except (ConfigurationError, OSError) as error:
        console.print(get_message("cli.history.bad_input", lang, reason=error), markup=False)
        code = BAD_INPUT
    raise typer.Exit(code)
