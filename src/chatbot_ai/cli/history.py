"""`chatbot-ai history`: back up, restore, delete and move conversations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from chatbot_ai.cli.terminal import LanguageOption, Terminal
from chatbot_ai.domain.conversation import Assistant
from chatbot_ai.domain.errors import ConfigurationError, Unavailable
from chatbot_ai.domain.ports import ConversationStore
from chatbot_ai.messages import Language, get_message, read_table
from chatbot_ai.server.stores import (
    CHARACTERS_FILE,
    build_store,
    character_store,
    conversation_store,
    parse_database,
)
from chatbot_ai.settings import load_config, process_environment
from chatbot_ai.storage.history_file import count_backup_turns, read_backup, write_backup
from chatbot_ai.storage.outbox_queue import count_waiting, drop_user
from chatbot_ai.storage.predecessor import PredecessorHistory
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


app = typer.Typer(
    help="대화 기록 백업·복원·삭제·이전 / back up, restore, delete and move conversations",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("export", help="JSONL 파일로 백업 / back up to a JSONL file")
def export(
    file: Path,
    store: StoreOption = None,
    assistant: AssistantOption = None,
    user: UserOption = None,
    language: LanguageOption = "ko",
) -> None:
    async def work(console: Console) -> int:
        async with _open(_choose_store(store, must_exist=True)) as source:
            with _start_progress(console) as progress:
                name = get_message("cli.history.exporting", language)
                task = progress.add_task(name, total=None)

                async def records() -> AsyncIterator[Record]:
                    async for record in read_history(source, assistant, user):
                        progress.advance(task, record.turn is not None)
                        yield record

                count = await write_backup(file, records())
        console.print(get_message("cli.history.exported", language, turns=count, file=file))
        if store is None:
            waiting = await count_waiting(load_config().shared.data_dir, assistant, user)
            if waiting:
                console.print(get_message("cli.history.waiting", language, count=waiting))
        return 0

    _run(work, language)


@app.command("import", help="백업 복원, 다시 실행해도 안전 / restore a backup, safe to repeat")
def import_(file: Path, store: StoreOption = None, language: LanguageOption = "ko") -> None:
    async def work(console: Console) -> int:
        expected = count_backup_turns(file)
        async with _open(_choose_store(store, must_exist=False)) as target:
            tally = await _copy(
                console, read_backup(file), target, language, total=expected, apply=True
            )
        return _report(console, tally, language, agrees=tally.agrees and tally.read == expected)

    _run(work, language)


@app.command("delete", help="한 사용자의 모든 기록 삭제 / delete all data of one user")
def delete(
    user: str,
    store: StoreOption = None,
    assistant: AssistantOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="묻지 않음 / do not ask")] = False,
    language: LanguageOption = "ko",
) -> None:
    if not yes:
        typer.confirm(get_message("cli.history.confirm_delete", language, user=user), abort=True)

    async def work(console: Console) -> int:
        target = _choose_store(store, must_exist=True)
        if store is None:
            # What waits goes first, as it must not arrive behind the deletion, and local data can
            # be deleted while the database is down.
            waiting, characters = await _delete_local(user, assistant)
            console.print(
                get_message(
                    "cli.history.deleted_waiting", language, waiting=waiting, characters=characters
                )
            )
        async with _open(target):
            removed = await target.delete_user(user, assistant)
            left = [key async for key, _ in target.scan(assistant, user)]
        console.print(get_message("cli.history.deleted", language, turns=removed))
        return DISAGREES if left else 0

    _run(work, language)


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
    language: LanguageOption = "ko",
) -> None:
    async def work(console: Console) -> int:
        place = resolve_location(source)
        tally = Tally()
        async with AsyncExitStack() as opened:
            to = await opened.enter_async_context(_open(_choose_store(target, must_exist=False)))
            if predecessor:
                old = PredecessorHistory(place, parse_database(place))
                opened.push_async_callback(old.close)
                sized, records = old.records(Tally()), old.records(tally)
            else:
                of = await opened.enter_async_context(_open(build_store(place, must_exist=True)))
                sized, records = read_history(of), read_history(of)
            total = await _print_size(console, sized, language)
            await _copy(console, records, to, language, apply=apply, tally=tally, total=total)
        if not apply:
            console.print(get_message("cli.history.dry_run", language))
        return _report(console, tally, language, agrees=tally.agrees)

    _run(work, language)


def _choose_store(location: str | None, *, must_exist: bool) -> ConversationStore:
    """The store at `location`, else the one that the settings name; not open yet."""
    if location is None:
        return conversation_store(load_config().shared)
    return build_store(resolve_location(location), must_exist=must_exist)


async def _delete_local(user_id: str, assistant: Assistant | None) -> tuple[int, int]:
    """Delete what waits for a user's database and the user's characters; how many of each."""
    shared = load_config().shared
    dropped = await drop_user(shared.data_dir, user_id, assistant)
    file = shared.data_dir / CHARACTERS_FILE
    if assistant == "office" or not await asyncio.to_thread(file.is_file):
        return dropped, 0
    store = character_store(shared)
    await store.open()
    try:
        return dropped, await store.delete_user(user_id)
    finally:
        await store.close()


async def _copy(
    console: Console,
    records: AsyncIterator[Record],
    target: ConversationStore,
    language: Language,
    *,
    apply: bool,
    total: int | None = None,
    tally: Tally | None = None,
) -> Tally:
    with _start_progress(console) as progress:
        task = progress.add_task(get_message("cli.history.copying", language), total=total)
        return await copy_history(
            records,
            target,
            apply=apply,
            on_progress=lambda now: progress.update(task, completed=now.read),
            tally=tally,
        )


async def _print_size(console: Console, records: AsyncIterator[Record], language: Language) -> int:
    """Count a source, say so, and return how many turns it has."""
    turns, conversations, last = 0, 0, None
    async for record in records:
        if record.turn is not None:
            turns += 1
            conversations += record.key != last
            last = record.key
    console.print(
        get_message("cli.history.source", language, conversations=conversations, turns=turns)
    )
    return turns


def _report(console: Console, tally: Tally, language: Language, *, agrees: bool) -> int:
    values = {name: getattr(tally, name) for name in Tally.__slots__}
    console.print(get_message("cli.history.tally", language, **values))
    for kind, place in tally.named:
        name = get_message(f"cli.history.{kind}", language)
        console.print(f"  {name}: {place}", markup=False, soft_wrap=True)
    console.print(
        get_message("cli.history.agrees" if agrees else "cli.history.disagrees", language)
    )
    return 0 if agrees else DISAGREES


def _start_progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=console)


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


def _run(work: Callable[[Console], Coroutine[Any, Any, int]], language: Language) -> None:
    """Run a command and end the process with its exit code."""
    console = Terminal()
    read_table("cli")  # now, not from the disk while a store is used
    try:
        code = asyncio.run(work(console))
    except Unavailable as error:
        console.print(get_message("cli.history.unavailable", language, reason=error), markup=False)
        code = UNAVAILABLE
    except (ConfigurationError, OSError) as error:
        console.print(get_message("cli.history.bad_input", language, reason=error), markup=False)
        code = BAD_INPUT
    raise typer.Exit(code)
