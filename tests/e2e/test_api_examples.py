"""Every example of docs/api.md, in order, against a running deployment."""

from __future__ import annotations

from pathlib import Path

import httpx2

from support.console_examples import examples, run

API = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_examples_do_what_the_page_says(
    client: httpx2.Client, base_url: str, tmp_path: Path
) -> None:
    """Each command prints what stands below it."""
    for assistant in ("office", "character"):
        client.delete(f"/{assistant}/conversations", params={"user_id": "kim"})
    wrong = []
    for example in examples(API):
        printed = run(example, tmp_path, base_url)
        if not example.matches(printed):
            wrong.append(f"line {example.line}: {example.command}\n{printed[:2000]}")
    assert not wrong, "\n\n".join(wrong)


def test_no_call_is_left_out() -> None:
    """The page has enough examples to be the ones that it shows."""
    assert len(examples(API)) >= 30
