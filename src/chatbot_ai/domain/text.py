"""Text that comes from outside: what people typed in its one form, and what strangers published
made into plain data.

Sanitizing cannot make a model immune to what a page says. It removes what is never legitimate
(invisible characters, chat-template markers, forged source numbers) and drops sentences whose only
sense is to steer a model; the rest is delimited, and the prompt says that it is data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Literal

from chatbot_ai.domain.citations import CITATION

#: Control characters carry no meaning in a chat, but for tab and newline.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
#: What steers a terminal, or turns the direction of the text behind it; not tab and newline.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
#: Combining marks that may follow one character (UAX #15, stream-safe text format).
MAX_MARKS = 30
#: Where a longer run may hide: combining marks are no letters and not ASCII.
_LONG_RUNS = re.compile(rf"(?<![^\w\x00-\x7f])[^\w\x00-\x7f]{{{MAX_MARKS + 1},}}+")
#: Everything that is not seen: controls but tab and newline, soft hyphen, zero-width and
#: bidirectional marks and all other format characters, Hangul fillers, variation selectors, tags
#: (U+E0000), lone surrogates.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff"
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
#: Markers of the chat templates in use: ChatML, Llama 2 to 4, Mistral, Gemma, Phi, Command R,
#: DeepSeek (with its full-width bar), GLM, and tags of reasoning and tool calls.
_MARKERS = re.compile(
    r"<[|\uff5c][^<>\n]{0,60}?[|\uff5c]>"
    r"|<[|\uff5c](?:im|start|end|eot|eom|begin|system|user|assistant)\w{0,20}"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG|gMASK|sMASK)\]"
    r"|<{1,2}/?SYS>{1,2}"
    r"|</?(?:s|bos|eos|unk|pad|sop|eop|start_of_turn|end_of_turn|think|thinking|reasoning"
    r"|tool_call|tool_response|function_call|system|assistant|user)[ ]{0,4}/?>",
    re.IGNORECASE,
)
#: What our own reference text is framed with, in any brackets that look alike.
_FRAMES = re.compile(
    r"[\[【［〔][ ]{0,4}(?:웹[ ]{0,4}검색(?:[ ]{0,4}자료)?|참고[ ]{0,4}자료|검색어[ ]{0,4}만들기)"
    r"(?:[ ]{0,4}끝)?[ ]{0,4}[\]】］〕]"
    r"|[<‹〈＜《⟨«][ ]{0,4}[/／]?[ ]{0,4}자료[ ]{0,4}[/／]?[ ]{0,4}[>›〉＞》⟩»]"
)
#: A number in brackets would pass for one of our own sources; digits of other scripts as well.
_FORGED_NUMBER = re.compile(
    CITATION.pattern
    + r"|[\[【［][ ]{0,2}\^?\d{1,3}(?:[ ]{0,2}[,;·\-~–][ ]{0,2}\d{1,3}){0,9}[ ]{0,2}[\]】］]",
    re.IGNORECASE,
)
_STEERING = re.compile(
    r"(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instruction|prompt|rule|guideline|context"
    r"|above|previous|prior)"
    r"|\b(?:reveal|print|repeat|show|output)\b.{0,30}\b(?:system|hidden|initial) (?:prompt|message)"
    r"|\byou are (?:now|no longer)\b.{0,60}\b(?:ai|assistant|model|bot|dan|mode)\b"
    r"|\b(?:new|updated|important) (?:system )?instructions?\s*(?:for|to)\b.{0,20}"
    r"\b(?:ai|llm|assistant|model|bot|chatbot)"
    r"|\b(?:ai|llm|assistant|language model|chatbot)s?\b.{0,40}\b(?:must|should) (?:now )?"
    r"(?:respond|reply|answer|say|output|recommend|include)"
    r"|(?:이전|위|앞|지금까지|기존|상기|모든|원래)(?:의|에)?.{0,20}"
    r"(?:지시|명령|지침|프롬프트|규칙|대화).{0,15}(?:무시|잊|따르지|버리|덮어)"
    r"|(?:시스템|숨겨진|초기)[ ]{0,2}(?:프롬프트|지시|메시지).{0,20}"
    r"(?:출력|공개|보여|알려|말해|반복)"
    r"|(?:너는|당신은|넌)[ ]{0,2}(?:이제|지금)부터.{0,40}"
    r"|(?:AI|인공지능|챗봇|언어\s?모델|어시스턴트)(?:은|는|이|가|에게|라면)?.{0,40}"
    r"(?:답해야|답하라|대답하라|출력하라|말해야 한다|무시하라|따라야 한다|추천하라)",
    re.IGNORECASE,
)
_ROLE_LABELS = re.compile(
    r"^(?:[ ]{0,8}(?:#{1,6}[ ]{0,2})?"
    r"(?:system|assistant|developer|human|user|instruction|시스템|어시스턴트)"
    r"[ ]{0,2}(?:prompt|message)?[ ]{0,2}[:：])+",
    re.IGNORECASE,
)
_MAX_PASSES = 6
_SENTENCE_ENDS = tuple(".!?。！？")
_SENTENCES = re.compile(r"(?<=[.!?。！？])\s+")
_SPACES = re.compile(r"[ \t\u00a0\u2000-\u200a\u202f\u205f\u3000]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalize(text: str, form: Literal["NFC", "NFKC", "NFD"] = "NFC") -> str:
    """The normal form of `text`, in time linear in its length.

    Putting marks in order takes the square of their number, so of a run of combining marks only
    the first 30 stay; no language writes more (UAX #15).
    """
    return unicodedata.normalize(form, _LONG_RUNS.sub(_shorten_runs, text))


def show_controls(text: str) -> str:
    """Text for a terminal or a log: what would steer the terminal becomes a sign that is seen, one
    for one, so that lengths stay."""
    return _STEERS.sub(lambda found: _show_control(ord(found[0])), text)


def _show_control(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of these characters
    return "\u2421" if code == 0x7F else "\ufffd"


def _shorten_runs(match: re.Match[str]) -> str:
    return _compile_marks().sub(lambda run: run[0][:MAX_MARKS], match[0])


@cache
def _compile_marks() -> re.Pattern[str]:
    """Runs of more than MAX_MARKS combining marks; to look for them all takes some 20 ms, once.

    `re` finds characters beyond U+FFFF in a set one by one, so a range is asked before it.
    """
    marks = [chr(code) for code in range(0x300, 0x20000) if unicodedata.combining(chr(code))]
    low = "".join(mark for mark in marks if mark < "\U00010000")
    high = "".join(mark for mark in marks if mark >= "\U00010000")
    mark = f"(?:[{low}]|[{high[0]}-{high[-1]}](?<=[{high}]))"
    return re.compile(f"(?<!{mark}){mark}{{{MAX_MARKS + 1},}}+")


def clean_text(text: str) -> str:
    """Composed Hangul (NFC), newlines as line ends, no control characters.

    macOS sends Hangul as separate letters (NFD), three characters for a syllable; lengths count
    what the user sees. Raises UnicodeEncodeError for a lone surrogate, which is no character.
    """
    text.encode()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return normalize(_CONTROLS.sub("", text))


def sanitize_text(text: str) -> str:
    """Return `text` without what is invisible, marks up a prompt, or orders a model about.

    Lines stay lines; runs of spaces and of blank lines shrink. `sanitize_text` of the result is the
    result. Linear in the length of `text`.
    """
    text = normalize(_INVISIBLE.sub("", text.replace("\r", "\n")))
    lines = _drop_split_orders(_sanitize_line(line) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def sanitize_line(text: str, max_chars: int) -> str:
    """Return `text` cleaned the same way, on one line of at most `max_chars` characters."""
    # again as one line: what was no marker on two may be one now
    line = sanitize_text(" ".join(sanitize_text(text).split()))
    if len(line) <= max_chars:
        return line
    return line[: max_chars - 1].rstrip() + "…"


def _sanitize_line(line: str) -> str:
    """Clean until nothing changes: what is removed may have been hiding a marker around it. A line
    that goes on changing was made to, and is dropped."""
    for _ in range(_MAX_PASSES):
        cleaned = _sanitize_once(line)
        if cleaned == line:
            return line
        line = cleaned
    return ""


def _drop_split_orders(lines: Iterable[str]) -> list[str]:
    """Drop sentences that steer only together: an order may go on in the next line with text."""
    kept: list[str] = []
    last = -1  # the last line in `kept` that is not blank
    for following in lines:
        line = following
        for _ in range(_MAX_PASSES):
            if not line or last < 0:
                break
            tail = _SENTENCES.split(kept[last])[-1]
            head = _SENTENCES.split(line)[0]
            if tail[-1:] in _SENTENCE_ENDS or not _STEERING.search(f"{tail} {head}"):
                break
            kept[last] = _sanitize_line(kept[last].removesuffix(tail))
            line = _sanitize_line(line.removeprefix(head))
            while last >= 0 and not kept[last]:
                last -= 1
        else:
            line = ""  # made to outlast this
        kept.append(line)
        if line:
            last = len(kept) - 1
    return kept


def _sanitize_once(line: str) -> str:
    line = _FORGED_NUMBER.sub("", _FRAMES.sub(" ", _MARKERS.sub(" ", line)))
    line = _ROLE_LABELS.sub("", line)
    kept = [part for part in _SENTENCES.split(line) if not _STEERING.search(part)]
    return normalize(_SPACES.sub(" ", " ".join(kept)).strip())


def guess_encoding(data: bytes) -> str:
    """The encoding that bytes which are not UTF-8 seem to be in, as iconv names it; "" where it
    cannot be told."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:64]:
        return "UTF-16"
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return ""
    return "CP949" if re.search("[가-힣]", text) else ""
