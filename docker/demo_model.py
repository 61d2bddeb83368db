#!/usr/local/bin/python
"""Brings the small demo model where an assistant would use it; says what is wrong with others."""

from __future__ import annotations

import os
import sys

from chatbot_ai.domain.conversation import ASSISTANTS
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.models.library import ModelLibrary
from chatbot_ai.models.manifest import ModelFileError
from chatbot_ai.server.engines import DEMO_MODEL, choose_model
from chatbot_ai.settings import Config, load_config


def main() -> int:
    """Return the exit code: 1 only where the demo model is needed and cannot be had."""
    try:
        config = load_config()
    except ConfigurationError as error:
        note(str(error))
        return 1
    if not needs_demo(config):
        return 0
    library = ModelLibrary(config.shared.model_dir)
    try:
        if not (config.shared.model_dir / DEMO_MODEL).is_file():
            note("no model is there yet: fetching the demo model (93 MB, once)")
        library.ensure(DEMO_MODEL)
    except ModelFileError as error:
        note(error.explain(config.shared.terminal_language))
        return 1
    return 0


def needs_demo(config: Config) -> bool:
    """Whether an assistant would run the demo model. Another file is only looked at.

    Its service says the same and more, so what is wrong with it does not end this one-shot.
    """
    needed = False
    for name in ASSISTANTS:
        settings = config.assistant(name)
        if settings.engine_url:
            continue
        try:
            model = choose_model(settings, config)
        except ConfigurationError as error:
            note(f"{name}: {error}")
            continue
        needed = needed or model.demo
        if model.path.is_file() and not os.access(model.path, os.R_OK):
            note(f"{name}: user {os.getuid()} may not read {model.path}: chmod a+r that file")
    return needed


def note(text: str) -> None:
    sys.stderr.write(f"python-libs-init: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
