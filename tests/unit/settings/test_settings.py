"""Settings: where a value comes from, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.settings import find_open_files, find_slips, load_config, redact
from chatbot_ai.settings.assistant import AssistantSettings
from chatbot_ai.settings.load import list_setting_names
from chatbot_ai.settings.shared import Settings

SECRETS = (
    "MONGODB_URL",
    "MONGO_ADMIN_PASSWORD",
    "OPENAI_API_KEY",
    "GOOGLE_API_KEY",
    "NAVER_CLIENT_SECRET",
    "BACKUP_ENGINE_API_KEY",
    "HF_TOKEN",
    "OFFICE_ENGINE_API_KEY",
)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text("")
    return path


def refusal(env_file: Path | None = None, **flags: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_config(env_file, **flags)
    return str(caught.value)


def test_defaults_are_the_specifications() -> None:
    """Without any setting the two assistants are those that the specification describes."""
    config = load_config(None)
    assert (config.shared.gateway_port, config.office.service_port) == (8001, 8002)
    assert config.character.service_port == 8003
    assert config.office.model_path.endswith("Meta-Llama-3.1-8B-Claude.Q4_1.gguf")
    assert config.character.model_path.endswith("Meta-Llama-3.1-8B-Claude.Q4_0.gguf")
    assert (config.office.gpu_index, config.office.layers_on_gpu) == (1, -1)
    assert (config.character.gpu_index, config.character.layers_on_gpu) == (0, 50)
    for name, value in {
        "context_tokens": 8191, "batch_tokens": 2048, "flash_attention": True, "threads": 12,
        "continuous_batching": True, "kv_cache_type": "f16", "kv_offload": True, "mmap": False,
        "mlock": True, "numa": False,
    }.items():  # fmt: skip
        assert getattr(config.office, name) == getattr(config.character, name) == value
    assert config.shared.openai_aliases == {"gpt4.1": "gpt-4.1", "gpt4.1_mini": "gpt-4.1-mini"}


def test_the_names_of_the_assistants_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OFFICE_NAME in the environment renames nobody: it reads as a slip."""
    assert "NAME" not in list_setting_names(AssistantSettings)
    monkeypatch.setenv("OFFICE_NAME", "character")
    assert "OFFICE_NAME" in refusal()


def test_precedence(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag before environment before file before default."""
    assert load_config(env_file).shared.gateway_port == 8001
    env_file.write_text("GATEWAY_PORT=9001\n")
    assert load_config(env_file).shared.gateway_port == 9001
    monkeypatch.setenv("GATEWAY_PORT", "9002")
    assert load_config(env_file).shared.gateway_port == 9002
    assert load_config(env_file, gateway_port=9003).shared.gateway_port == 9003


def test_an_assistants_own_setting_comes_before_the_common_one(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OFFICE_X, then CHATBOT_X, each first in the environment."""
    env_file.write_text("CHATBOT_THREADS=2\nOFFICE_THREADS=3\n")
    config = load_config(env_file)
    assert (config.office.threads, config.character.threads) == (3, 2)
    monkeypatch.setenv("CHATBOT_THREADS", "4")
    config = load_config(env_file)
    assert (config.office.threads, config.character.threads) == (4, 4)
    monkeypatch.setenv("OFFICE_THREADS", "5")
    assert load_config(env_file).office.threads == 5


@pytest.mark.parametrize("value", ["", "  "])
def test_blank_is_not_set(value: str, env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty line of the .env file means the default."""
    for name in ("OPENAI_API_KEY", "OFFICE_GPU_LAYERS", "OFFICE_MAX_CONCURRENT", "APP_MODE"):
        monkeypatch.setenv(name, value)
    config = load_config(env_file)
    assert (config.shared.openai_api_key, config.shared.app_mode) == (None, None)
    assert (config.office.gpu_layers, config.office.max_concurrent) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "abc"),
        ("GATEWAY_PORT", "70000"),
        ("REQUEST_DEADLINE_S", "0"),
        ("REQUEST_DEADLINE_S", "nan"),
        ("TIMEZONE", "Seoul"),
        ("DEFAULT_LANGUAGE", "fr"),
        ("APP_MODE", "both"),
        ("OFFICE_THREADS", "0"),
        ("CHARACTER_THREADS", "0"),
        ("CHATBOT_THREADS", "many"),
        ("OFFICE_KV_CACHE_TYPE", "f8"),
        ("OFFICE_MAX_CONCURRENT", "-1"),
        ("OFFICE_MAX_CONCURRENT", "0"),
        ("CHARACTER_MAX_CONCURRENT", "some"),
        ("OFFICE_ROPE_SCALE", "0"),
        ("BACKUP_MODEL", "gpt9"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The setting that the operator wrote is in the error, with its value."""
    monkeypatch.setenv(name, value)
    text = refusal()
    assert name in text
    assert value in text


def test_a_wrong_value_in_the_file_is_named(env_file: Path) -> None:
    """By the name that stands in the file."""
    env_file.write_text("CHATBOT_MMAP=perhaps\n")
    assert "CHATBOT_MMAP" in refusal(env_file)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHATBOT_THREDS", "CHATBOT_THREADS"),
        ("GATEWAY_PROT", "GATEWAY_PORT"),
        ("OFFICE_PROT", "OFFICE_PORT"),
        ("CHATBOT_ZZZ", ""),
    ],
)
def test_a_slip_is_refused(name: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name of ours is an error and tells what was probably meant."""
    monkeypatch.setenv(name, "1")
    text = refusal()
    assert name in text
    assert meant in text


def test_other_programs_variables_are_theirs(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OFFICE_HOME in the environment is nobody's slip; in our own file it is."""
    monkeypatch.setenv("OFFICE_HOME_FOLDER_OF_SUITE", "x")
    monkeypatch.setenv("SOMETHING", "x")
    load_config(env_file)
    env_file.write_text("OFFICE_ZZZZZZ=1\n")
    assert "OFFICE_ZZZZZZ" in refusal(env_file)


def test_a_file_with_a_byte_order_mark(env_file: Path) -> None:
    """Windows editors write one; the first line counts all the same."""
    env_file.write_bytes("GATEWAY_PORT=9001\n# 한글\n".encode("utf-8-sig"))
    assert load_config(env_file).shared.gateway_port == 9001


def test_a_file_in_another_encoding(env_file: Path) -> None:
    """A file saved in CP949 is told to be UTF-8."""
    env_file.write_bytes("# 설명\nGATEWAY_PORT=9001\n".encode("cp949"))
    assert str(env_file) in refusal(env_file)


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    """Without .env the environment and the defaults serve."""
    assert load_config(tmp_path / "nowhere" / ".env").shared.gateway_port == 8001


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in the effective values, nor in a representation."""
    for name in SECRETS:
        monkeypatch.setenv(name, "planted-secret")
    config = load_config(None)
    assert "planted-secret" not in f"{config!r} {config} {redact(config)}"
    assert config.shared.openai_api_key is not None
    assert config.shared.openai_api_key.get_secret_value() == "planted-secret"


def test_every_secret_is_one_of_these() -> None:
    """A setting that reads like a secret is typed as one, so that the tests above see it."""
    telling = ("KEY", "PASSWORD", "SECRET", "TOKEN")
    fields = Settings.model_fields | {
        f"office_{name}": field for name, field in AssistantSettings.model_fields.items()
    }
    for name, field in fields.items():
        if any(name.upper().endswith(word) for word in telling):
            assert "SecretStr" in str(field.annotation), name
            assert name.upper() in SECRETS


@given(
    st.sampled_from(list_setting_names(Settings) + list_setting_names(AssistantSettings)),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n'\"\\$#"), max_size=20),
)
def test_any_value_is_taken_or_named(name: str, value: str) -> None:
    """Whatever a setting says, it is read or refused by name; nothing else is raised."""
    variable = name if name in list_setting_names(Settings) else f"CHATBOT_{name}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, value)
        try:
            load_config(None)
        except ConfigurationError as error:
            assert variable in str(error)


@given(
    st.fixed_dictionaries(
        {
            "gateway_port": st.integers(1, 65535),
            "request_deadline_s": st.floats(1.5, 3600),
            "default_language": st.sampled_from(["ko", "en"]),
            "search_rewrite": st.booleans(),
            "mongo_database": st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
        }
    )
)
def test_what_is_written_to_a_file_is_read_back(values: dict[str, object]) -> None:
    """Rendered as a .env file, settings come back as they were."""
    text = "".join(f"{name.upper()}={value}\n" for name, value in values.items())
    path = Path(".env")
    path.write_text(text, encoding="utf-8")
    shared = load_config(path).shared
    assert {name: getattr(shared, name) for name in values} == values


def password(env_file: Path, line: str) -> str | None:
    env_file.write_bytes(line.encode())
    found = load_config(env_file).shared.mongo_admin_password
    return found.get_secret_value() if found else None


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a${HOME}b", "a${HOME}b"),
        ("'a${HOME}b'", "a${HOME}b"),
        ('"a$HOME ${X:-y}"', "a$HOME ${X:-y}"),
        ("$$a", "$$a"),
        ("a#b", "a#b"),
        ("#ab", "#ab"),
        ("'a #b'", "a #b"),
        ('"a #b"', "a #b"),
        ("a=b==", "a=b=="),
        ("a'b\"c", "a'b\"c"),
        (r"a\nb", r"a\nb"),
        (r"'a\nb'", r"a\nb"),
        (r'"a\"b"', 'a"b'),
        ("비밀 번호", "비밀 번호"),
        ("''", None),
    ],
)
@pytest.mark.parametrize("form", ["{}\n", "{}", "{}\r\n", "  {}  \n", "{} # 설명\n"])
@pytest.mark.parametrize("before", ["", "export ", "\ufeff", "\n\n# 설명\r\n"])
def test_a_password_is_read_as_it_is_written(
    env_file: Path, written: str, value: str | None, form: str, before: str
) -> None:
    """Nothing is expanded, and quotes, #, export, a byte order mark and CRLF are as expected."""
    line = before + form.format(f"MONGO_ADMIN_PASSWORD={written}")
    assert password(env_file, line) == value


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("GATEWAY_PORT: 8200\n", 1, "GATEWAY_PORT=8200"),
        ("# a\n\n\nexport GATEWAY_PORT : 8200\n", 4, "GATEWAY_PORT=8200"),
        ("LOG_LEVEL=info\r\nOPENAI_API_KEY: planted\r\n", 2, "OPENAI_API_KEY=…"),
        ("MONGODB_URL: mongodb://u:planted@h\n", 1, "MONGODB_URL=…"),
        ("GATEWAY_PORT 8200\n", 1, "NAME=value"),
        ("\nGATEWAY_PORT\n", 2, "NAME=value"),
        ("MONGO_ADMIN_PASSWORD='planted\nLOG_LEVEL=info\n", 1, "quote"),
        ('MONGO_ADMIN_PASSWORD="a"planted\n', 1, "quote"),
    ],
)
def test_a_line_that_is_none_is_named(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, said: str
) -> None:
    """Its number and what to write; never passed over, and no secret of it is shown."""
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    env_file.write_bytes(text.encode())
    found = refusal(env_file)
    assert f"line {line}" in found
    assert said in found
    assert "planted" not in found
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    assert f"{line}번째 줄" in refusal(env_file)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder, as Docker makes one where a file is missing, is said."""
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MONGODB_URI", "MONGODB_URL"),
        ("MONGO_URL", "MONGODB_URL"),
        ("MONGO_USER", "MONGO_ADMIN_USER"),
        ("MONGODB_HOST", "MONGO_HOST"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("MODEL_FILE", "OFFICE_MODEL_FILE"),
        ("THREADS", "CHATBOT_THREADS"),
        ("PORT", "GATEWAY_PORT"),
        ("LOG_LEVL", "LOG_LEVEL"),
        ("NAVER_CLIENT", "NAVER_CLIENT_ID"),
    ],
)
def test_a_name_near_ours_is_noticed(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    """In the file always, in the environment where it begins as ours do; nothing is refused."""
    env_file.write_text(f"{name}=1\n")
    [slip] = find_slips(load_config(env_file))
    assert (slip.code, slip.facts["name"]) == ("setting_misnamed", name)
    assert meant in slip.facts["meant"]
    env_file.write_text("")
    monkeypatch.setenv(name, "1")
    ours = name.startswith(("MONGO", "OPENAI_", "NAVER_"))
    assert len(list(find_slips(load_config(env_file)))) == ours


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "HTTP_PROXY", "TZ", "OPENAI_ORG_ID", "HF_HOME", "PIP_INDEX_URL"]
)
def test_a_foreign_name_is_nobodys_slip(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Neither in the file nor in the environment, and settings of Compose are no slips either."""
    env_file.write_text(f"{name}=1\nCOMPOSE_PROFILES=monitoring\nRUN_UID=1000\n")
    monkeypatch.setenv(name, "1")
    assert list(find_slips(load_config(env_file))) == []


def test_a_secret_that_a_comment_cuts_is_noticed(env_file: Path) -> None:
    """Only there: elsewhere a comment is a comment."""
    env_file.write_text("GATEWAY_PORT=8200 # mine\nMONGO_ADMIN_PASSWORD=ab #cd\n")
    assert [(s.code, s.facts["name"]) for s in find_slips(load_config(env_file))] == [
        ("setting_cut", "MONGO_ADMIN_PASSWORD")
    ]


def test_files_that_others_may_read_are_noticed(env_file: Path, tmp_path: Path) -> None:
    """`.env` with its secrets and the folder of the logs; not what is private."""
    logs = tmp_path / "logs"
    logs.mkdir()
    env_file.touch()
    for path, mode in ((env_file, 0o600), (logs, 0o700)):
        path.chmod(mode)
    config = load_config(env_file, log_dir=logs, data_dir=tmp_path / "none")
    assert list(find_open_files(config)) == []
    env_file.chmod(0o644)
    logs.chmod(0o755)
    found = {slip.facts["path"]: slip.facts["mode"] for slip in find_open_files(config)}
    assert found == {str(env_file): "go-rwx", str(logs): "-R go-rwx"}
