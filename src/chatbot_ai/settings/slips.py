"""What the operator probably did not mean: names without effect, values cut short, files that other
users of the machine may read. None of it stops a start; each is said."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from chatbot_ai.settings.assistant import AssistantSettings
from chatbot_ai.settings.docker_compose import ComposeSettings
from chatbot_ai.settings.env_file import find_cut_secrets, read_env_file
from chatbot_ai.settings.load import Config, known_names, list_setting_names

#: Names by which other programs know settings of ours, or which people write from memory.
OTHER_NAMES = {
    "DATABASE_URL": "MONGODB_URL",
    "GOOGLE_CSE_ID": "SEARCH_ENGINE_ID",
    "HOST": "GATEWAY_HOST",
    "HUGGINGFACE_TOKEN": "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN": "HF_TOKEN",
    "MONGODB_URI": "MONGODB_URL",
    "MONGO_DB": "MONGO_DATABASE",
    "MONGO_INITDB_ROOT_PASSWORD": "MONGO_ADMIN_PASSWORD",
    "MONGO_INITDB_ROOT_USERNAME": "MONGO_ADMIN_USER",
    "MONGO_PASSWORD": "MONGO_ADMIN_PASSWORD",
    "MONGO_USER": "MONGO_ADMIN_USER",
    "MONGO_USERNAME": "MONGO_ADMIN_USER",
    "MONGO_URI": "MONGODB_URL",
    "MONGO_URL": "MONGODB_URL",
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "OPENAI_KEY": "OPENAI_API_KEY",
    "OPENAI_MODEL": "OPENAI_MODELS",
    "PORT": "GATEWAY_PORT",
}
#: Beginnings of our settings. Another program's variable in the environment has another one, and
#: is none of our business; what stands in our own file is.
FAMILIES = ("BACKUP_", "GOOGLE_", "HF_", "MONGO", "NAVER_", "OPENAI_", "SEARCH_", "SEARXNG_")


@dataclass(frozen=True, slots=True)
class Slip:
    """`code` is a finding of messages/doctor.toml, `facts` are its values."""

    code: str
    facts: Mapping[str, str] = field(default_factory=dict)


def find_slips(config: Config) -> Iterator[Slip]:
    """Look at the names that were written, in the file and in the environment."""
    for name, meant in find_misnamed(read_env_file(config.env_file)).items():
        yield Slip("setting_misnamed", {"name": name, "meant": meant})
    for name in find_cut_secrets(config.env_file):
        yield Slip("setting_cut", {"name": name})


def find_open_files(config: Config) -> Iterator[Slip]:
    """Look which files with secrets or with what people wrote every user may read."""
    for path in (config.env_file, config.shared.log_dir, config.shared.data_dir):
        if path is None or not path.exists():
            continue
        mode = path.stat().st_mode
        if mode & stat.S_IROTH:
            private = "go-rwx" if path.is_file() else "-R go-rwx"
            yield Slip("file_open", {"path": str(path), "mode": private})


def find_misnamed(in_file: Mapping[str, str]) -> dict[str, str]:
    """Names of the file, and of the environment where they begin like ours, that have no effect,
    each with the setting that was probably meant. Names like nothing of ours are not among them.
    """
    known = known_names() | {*list_setting_names(ComposeSettings)}
    assistants = {*list_setting_names(AssistantSettings)} - {"HOST", "PORT"}
    names = {*in_file} | {name for name in os.environ if name.startswith(FAMILIES)}
    found = {}
    for name in sorted(names - known):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
        if name in OTHER_NAMES:
            found[name] = OTHER_NAMES[name]
        elif name in assistants:
            found[name] = f"CHATBOT_{name}, OFFICE_{name}, CHARACTER_{name}"
        elif near:
            found[name] = near[0]
    return found
