"""Text of others holds no control token of any model that is served."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from chatbot_ai.domain.control_tokens import ControlTokens, neutralize
from chatbot_ai.domain.errors import ConfigurationError
from chatbot_ai.models.gguf import read_control_tokens

#: One of each family whose models people run, and every token of the demo model.
TOKEN_TEXT = """
<|im_start|> <|im_end|> <|endoftext|> <|begin_of_text|> <|eot_id|>
<|start_header_id|> <|eom_id|> <|python_tag|> <|reserved_special_token_0|>
<|header_start|> <|eot|> <s> </s> [INST] [/INST] <<SYS>> <</SYS>> [TOOL_CALLS]
[AVAILABLE_TOOLS] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] <start_of_turn>
<end_of_turn> <bos> <eos> <unused7> <|system|> <|user|> <|assistant|> <|end|>
<|START_OF_TURN_TOKEN|> <|CHATBOT_TOKEN|> [|system|] [|user|] [|assistant|]
[|endofturn|] <｜User｜> <｜Assistant｜> <｜begin▁of▁sentence｜> <｜end▁of▁sentence｜>
<|observation|> [gMASK] <sop> <|channel|> <|message|> <|start|> <|call|>
<|return|> <repo_name> <reponame> <file_sep> <gh_stars> <issue_start>
<issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code>
<jupyter_output> <jupyter_script> <empty_output> <fim_prefix> <fim_suffix>
<fim_middle> <think> </think> <tool_call> </tool_call> <unk> <pad> <mask>
<|stop|> <|fim_prefix|> <|vision_start|> <|image_pad|> <extra_id_0>
"""
TOKENS = TOKEN_TEXT.split()
#: What looks a little like one and is none: it stays as it is.
ORDINARY = [
    "a |> f() <| g",
    "if (a < b) x[i]",
    "[TODO] [참고] [1]",
    "<b>굵게</b> <table>",
    "List<String>",
    "|표|값|",
    "x < s > y",
    "<user@example.org>",
    "[링크](https://example.org)",
    "a <- b || c",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_is_broken_up_and_stays_readable(token: str) -> None:
    """Only one space is added, wherever the token stands."""
    safe = neutralize(f"가{token}나{token}{token}")
    assert token not in safe
    assert safe.replace(" ", "") == f"가{token}나{token}{token}".replace(" ", "")
    assert neutralize(safe) == safe


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Code, tables, tags of HTML and links keep every character."""
    assert neutralize(text) == text


def test_a_models_own_vocabulary_is_taken() -> None:
    """What a loaded model lists besides the families is broken up; words and markup are not."""
    tokens = ControlTokens()
    tokens.add(["<filename>", "{{|turn|}}", "<table>", "system", "  ", "\n\n", "[a]"])
    assert tokens.neutralize("<filename>{{|turn|}}[a]") == "< filename>{{ |turn|}}[ a]"
    assert tokens.neutralize("<table> system\n\n") == "<table> system\n\n"


def test_neutralizing_is_linear_in_the_text() -> None:
    """A megabyte of openings that never close costs no more than one of words."""
    for part in ("<|", "[|", "<", "</", "[", "<|a", "|>"):
        assert len(neutralize(part * (1_000_000 // len(part)))) <= 1_000_000


def test_the_vocabulary_of_a_model_file_is_read(tmp_path: Path) -> None:
    """Control and user-defined tokens, no others; a file without a vocabulary has none."""

    def string(text: bytes) -> bytes:
        return struct.pack("<Q", len(text)) + text

    tokens, kinds = [b"a", b"<|x|>", b"<filename>", b"b"], [1, 3, 4, 1]
    path = tmp_path / "model.gguf"
    path.write_bytes(
        b"GGUF" + struct.pack("<IQQ", 3, 0, 3)
        + string(b"general.architecture") + struct.pack("<I", 8) + string(b"llama")
        + string(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 4)
        + b"".join(map(string, tokens))
        + string(b"tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, 5, 4)
        + struct.pack("<4i", *kinds)
    )  # fmt: skip
    assert read_control_tokens(path) == ("<|x|>", "<filename>")
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(ConfigurationError):
        read_control_tokens(path)
