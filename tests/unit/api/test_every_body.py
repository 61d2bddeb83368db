"""Every request body of the API, with every kind of value in every field."""

from __future__ import annotations

import importlib
import pkgutil
from contextlib import suppress

import pytest
from pydantic import BaseModel, ValidationError

from chatbot_ai import api

VALUES: list[object] = [
    None, True, 0, -1, 1.5, float("nan"), 10**400, "", "x", "가" * 100_000, "\ud800", "\x00",
    [], [None], ["x"], [{}], {}, {"x": None}, {"type": "x"}, {"role": "user", "content": None},
]  # fmt: skip


def models() -> list[type[BaseModel]]:
    found = set()
    for module in pkgutil.iter_modules(api.__path__, "chatbot_ai.api."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, BaseModel):
                found.add(value)
    return sorted(found - {BaseModel}, key=lambda model: model.__name__)


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_any_value_in_any_field_is_taken_or_refused(model: type[BaseModel]) -> None:
    """A body is valid or a ValidationError; no value makes the validation itself crash."""
    for name, field in model.model_fields.items():
        for value in VALUES:
            with suppress(ValidationError):
                model.model_validate({field.alias or name: value})
    for whole in VALUES:
        with suppress(ValidationError):
            model.model_validate(whole)
