"""Every setting once: name, default, unit and help; the only reader of the environment.

Precedence: command-line flag > environment > `.env` file > default. A setting of one assistant is
read as `OFFICE_X` or `CHARACTER_X` first and as `CHATBOT_X`, for both, after that.
"""

from chatbot_ai.settings.assistant import AssistantSettings, CharacterSettings, OfficeSettings
from chatbot_ai.settings.docker_compose import ComposeSettings
from chatbot_ai.settings.load import (
    Config,
    load_config,
    process_environment,
    redact,
    without_secrets,
)
from chatbot_ai.settings.shared import Settings
from chatbot_ai.settings.slips import Slip, find_open_files, find_slips

__all__ = [
    "AssistantSettings",
    "CharacterSettings",
    "ComposeSettings",
    "Config",
    "OfficeSettings",
    "Settings",
    "Slip",
    "find_open_files",
    "find_slips",
    "load_config",
    "process_environment",
    "redact",
    "without_secrets",
]
