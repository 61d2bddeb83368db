"""One word for each thing, in both languages: words that were replaced do not come back."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path
    for pattern in (
        "*.md",
        "docs/*.md",
        "loadtest/*.md",
        "dashboard/*.*",
        "nginx/404.html",
        "web/*.*",
        "web/app/*.js",
        "web/styles/*.css",
        "src/**/*.py",
        "src/**/*.toml",
        "src/**/*.js",
        "src/**/*.html",
    )
    for path in ROOT.glob(pattern)
)

#: The word and what to write instead.
ENGLISH = {
    r"mend(s|ed|ing)?": "fix",
    "anew": "again",
    "sacred": "never change",
    "foretold": "expected",
    "whoever": "anyone who",
    r"stands? still": "stopped",
}
KOREAN = {
    "오피스 어시스턴트": "업무 도우미",
    "관리자": "운영자",
    "대화방": "대화",
    "요청 번호": "요청 ID",
    "문맥": "컨텍스트",
    "예고": "예상 대기 시간",
    "지우기|지울까요|지워집니다": "삭제",
    "고치기|고쳐서": "수정",
    "색인": "인덱스",
    "암호(?!화)": "비밀번호",
    "도커": "Docker",
}


def find_replaced(path: Path) -> list[str]:
    """Every replaced word in a file, with its line and what to write instead."""
    text = path.read_text("utf-8")
    return [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: "
        f"{match.group()!r}, write {instead!r}"
        for words, edge in ((ENGLISH, r"\b"), (KOREAN, ""))
        for word, instead in words.items()
        for match in re.finditer(f"{edge}(?:{word}){edge}", text, re.IGNORECASE)
    ]


def test_replaced_words_do_not_come_back() -> None:
    assert not [found for path in FILES for found in find_replaced(path)]
