"""Limits stand once, and nobody has to be refused to learn one."""

from __future__ import annotations

import re
from pathlib import Path

from chatbot_ai.api.operations import Limits
from chatbot_ai.domain import limits

SOURCE = Path(limits.__file__).parents[1]
#: Bounds of a field that are written as a number.
NUMBER = re.compile(r"(?:max_length|max_chars|maxItems)\s*=\s*([0-9_]+)")
#: An id that we made ourselves; it is found or not.
OURS = {("api/streaming.py", "100")}


def test_every_limit_is_published() -> None:
    """GET /limits has each constant under its own name, and the limits that are settings."""
    constants = {name.lower() for name in vars(limits) if name.isupper()}
    chosen = {"body_bytes", "user_characters_bytes", "user_conversations_bytes"}
    assert set(Limits.model_fields) == constants | chosen


def test_the_api_names_its_limits() -> None:
    """No bound of a field in api/ is a number of its own."""
    found = {
        (str(path.relative_to(SOURCE)), number)
        for path in (SOURCE / "api").rglob("*.py")
        for number in NUMBER.findall(path.read_text("utf-8"))
    }
    assert found <= OURS
