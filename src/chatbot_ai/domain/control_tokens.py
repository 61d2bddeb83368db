"""Control tokens of models, kept out of every text that is not ours.

A server reads the tokens of its chat template wherever they stand in a prompt, so a text that holds
one could end its own message and begin another as somebody else. All text of users, cards, lore,
documents and the web passes `neutralize`, which is the one place that knows what such tokens look
like: the families below, and what a loaded model's own vocabulary has besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: How control tokens begin and end in the families that are served today: ChatML and Qwen, Llama 2
#: to 4, Mistral, Gemma, Phi, Command R, EXAONE (`[|endofturn|]`), DeepSeek (full-width bars), GLM,
#: HyperCLOVA, SOLAR, Kanana, gpt-oss, Granite, Jamba, StarCoder and SmolLM.
_FAMILIES = (
    # <|im_start|>, <｜User｜>, <|START_OF_TURN_TOKEN|>, <|reserved_special_token_0|>
    r"<[|\uff5c](?=[^<>\n]{0,80}[|\uff5c]>)",
    # [|endofturn|], [|system|]
    r"\[\|(?=[^\[\]\n]{0,80}\|\])",
    r"\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|MODEL_SETTINGS"
    r"|ARGS|CALL_ID|THINK|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|TRANSCRIBE|PREFIX|MIDDLE|SUFFIX"
    r"|UNUSED_TOKEN_\d{1,4}|control_\d{1,4}|[gs]MASK|MASK|CLS|SEP|PAD|UNK|BOS|EOS)\]",
    r"<{1,2}/?SYS>{1,2}",
    # words that are tokens in angle brackets
    r"</?(?:s|bos|eos|unk|pad|mask|cls|sep|sop|eop|eod|eot|eom|start_of_turn|end_of_turn"
    r"|start_of_image|end_of_image|image_soft_token|think|tool_call|tool_response|function_call"
    r"|repo_name|reponame|file_sep|gh_stars|issue_(?:start|comment|closed)|empty_output"
    r"|jupyter_(?:start|text|code|output|script)|commit_(?:before|msg|after)|fim_[a-z]{1,12}"
    r"|extra_id_\d{1,4}|unused_?\d{1,5}|reserved_?\d{1,5}|SPECIAL_\d{1,5}|PRE|SUF|MID|EOT)>",
    r"</?(?:minimax|seed):[a-z_]{1,30}>",
)
#: Tokens that a vocabulary lists for the markup of documents: text may have them.
_HTML = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|ul|ol|li|dl|dt|dd|h[1-6]|p|a|b|i|u|em|strong"
    r"|code|pre|blockquote|sub|sup|span|div|br|hr|del|ins|mark|small)>",
    re.IGNORECASE,
)
_MAX_TOKEN_CHARS = 100
_MAX_TOKENS = 20_000


class ControlTokens:
    """What the models of one process read as control tokens. Grows only."""

    def __init__(self) -> None:
        self._own: frozenset[str] = frozenset()
        self.pattern = _compile(())

    def add(self, tokens: Iterable[str]) -> None:
        """Take the control and user-defined tokens of a model's vocabulary."""
        found = self._own | {token for token in tokens if _is_mark(token)}
        if len(found) > _MAX_TOKENS:
            found = frozenset(sorted(found)[:_MAX_TOKENS])
        if found != self._own:
            families = _compile(())
            self._own = frozenset(found)
            self.pattern = _compile(token for token in found if not families.search(token))

    def neutralize(self, text: str) -> str:
        """Break every token up by a space behind its first bracket: `<|im_end|>` becomes
        `< |im_end|>`. Readable as before, linear in the text, and done twice the same."""
        return self.pattern.sub(_break_up, text)


def _break_up(match: re.Match[str]) -> str:
    token = match[0]
    bracket = len(token) - len(token.lstrip(token[0])) or 1
    return f"{token[:bracket]} {token[bracket:]}"


def _is_mark(token: str) -> bool:
    """Whether a token of a vocabulary could pass for the template's: no word and no white space."""
    if not 2 <= len(token) <= _MAX_TOKEN_CHARS or not re.search(r"[<>\[\]{}|\uff5c]", token):
        return False
    return bool(re.search(r"[^\s\u2581]", token)) and not _HTML.fullmatch(token)


def _compile(own: Iterable[str]) -> re.Pattern[str]:
    literals = sorted((re.escape(token) for token in own), key=len, reverse=True)
    return re.compile("|".join(f"(?:{form})" for form in (*literals, *_FAMILIES)))


control_tokens = ControlTokens()


def neutralize(text: str) -> str:
    """`text` with every control token of this process's models broken up."""
    return control_tokens.neutralize(text)
