"""`chatbot-ai up`: everything on this machine, with one command."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from rich.console import Console

from chatbot_ai.cli.progress import byte_progress
from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.models.manifest import DEMO
from chatbot_ai.models.note import Note
from chatbot_ai.server import group, logs
from chatbot_ai.server.engines import DEMO_MODEL, choose_model
from chatbot_ai.server.stores import store_name
from chatbot_ai.settings import Config, load_config

TEXTS = {
    "ko": {
        "fetching": "작은 데모 모델을 준비합니다 (93 MB, 처음 한 번만)",
        "starting": "시작하는 중: 엔진, office, character, 게이트웨이",
        "ready": "준비되었습니다 ({seconds:.1f}초)",
        "gateway": "주소",
        "docs": "API 문서",
        "model": "모델",
        "logs": "로그",
        "data": "대화 저장",
        "away": "대화 저장소를 쓸 수 없습니다: {store}",
        "away_remedy": "켜져 있는지, MONGODB_URL(또는 MONGO_HOST 등)이 맞는지 확인하세요 "
        "(chatbot-ai doctor). 그동안 기억이 필요한 요청은 503을 받고, 돌아오면 저절로 이어집니다.",
        "try": "바로 해 보기",
        "stop": "멈추려면 Ctrl-C",
        "demo": "데모 모델은 영어만 조금 합니다. 한국어에는 더 큰 모델이 필요합니다: "
        "chatbot-ai models list",
        "stopping": "멈추는 중 …",
        "stopped": "모두 멈췄습니다.",
    },
    "en": {
        "fetching": "Preparing the small demo model (93 MB, once)",
        "starting": "Starting: engine, office, character, gateway",
        "ready": "Ready ({seconds:.1f} s)",
        "gateway": "Address",
        "docs": "API docs",
        "model": "Model",
        "logs": "Logs",
        "data": "Conversations",
        "away": "The conversation store is away: {store}",
        "away_remedy": "Check that it runs and that MONGODB_URL (or MONGO_HOST and its companions) "
        "is right (chatbot-ai doctor). Calls with memory get 503 meanwhile; when it is back, all "
        "goes on by itself.",
        "try": "Try it",
        "stop": "Ctrl-C stops everything",
        "demo": "The demo model speaks a little English only; Korean needs a bigger one: "
        "chatbot-ai models list",
        "stopping": "Stopping …",
        "stopped": "Everything has stopped.",
    },
}


def up() -> None:
    """Start engine, office, character and gateway; Ctrl-C stops them."""
    config = load_config()
    console = Console(stderr=True, highlight=False)
    text = TEXTS[config.shared.terminal_language]
    began = time.monotonic()
    logs.configure("group", config.shared, console_level="warning")
    group.check(config)
    own = [config.assistant(name) for name in ASSISTANTS if not config.assistant(name).engine_url]
    choices = [choose_model(settings, config) for settings in own]
    if any(choice.demo and not is_whole_demo(choice.path) for choice in choices):
        console.print(text["fetching"])
        fetch_demo(config, console)
    planned = group.plan(config)
    console.print(text["starting"])

    def ready(store_is_away: bool) -> None:
        _announce(config, planned, console, text, time.monotonic() - began)
        if store_is_away:
            told = text["away"].format(store=store_name(config.shared))
            console.print(f"[bold yellow]![/] {told}\n  {text['away_remedy']}\n", soft_wrap=True)

    asyncio.run(group.run(planned, ready, lambda: console.print(text["stopping"])))
    console.print(text["stopped"])


def is_whole_demo(path: Path) -> bool:
    """Whether the demo model was checked once and has not been touched since; costs no reading."""
    note = Note.read(path)
    return note is not None and note.sha256 == DEMO.sha256 and path.is_file() and note.holds(path)


def fetch_demo(config: Config, console: Console) -> None:
    """Bring the demo model, with a progress bar; goes on where an earlier try was cut.

    Raises ModelFileError where it cannot be had or the file that is there is another.
    """
    from chatbot_ai.models.library import ModelLibrary
    from chatbot_ai.server.checkup import hub_of

    with byte_progress(console, "SmolLM2-135M") as progress:
        ModelLibrary(config.shared.model_dir, hub=hub_of(config)).ensure(DEMO_MODEL, progress)


def _model_names(config: Config, planned: group.Group) -> list[str]:
    """The files that are served here, and where the engines of others are."""
    here = {model.name for model in planned.models.values()}
    urls = (config.assistant(name).engine_url for name in ASSISTANTS if name not in planned.models)
    return sorted(here) + sorted({url for url in urls if url})


def _announce(
    config: Config, planned: group.Group, console: Console, text: dict[str, str], seconds: float
) -> None:
    url = planned.gateway_url
    rows = [
        (text["gateway"], f"{url}/office/  {url}/character/"),
        (text["docs"], f"{url}/office/docs  {url}/character/docs"),
        (text["model"], ", ".join(_model_names(config, planned))),
        (text["data"], str(config.shared.data_dir.absolute())),
        (text["logs"], str(config.shared.log_dir.absolute())),
    ]
    console.print(f"\n[bold green]✔[/] [bold]{text['ready'].format(seconds=seconds)}[/]")
    for name, value in rows:
        console.print(f"  {name}: {value}", soft_wrap=True)
    console.print(f"\n  {text['try']}:", soft_wrap=True)
    console.print(
        f"""  curl -X POST {url}/office/Llama -H "Content-Type: application/json" \\
    -d '{{"input_data": "안녕하세요!", "user_id": "test_user"}}'""",
        soft_wrap=True,
        markup=False,
    )
    if any(m.demo for m in planned.models.values()):
        console.print(f"\n  {text['demo']}", soft_wrap=True)
    console.print(f"  {text['stop']}\n")
