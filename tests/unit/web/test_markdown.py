"""The chat page shows everything that a model wrote, and changes none of its meaning."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[3]


class Render(Protocol):
    """Makes the page's HTML of one text."""

    def __call__(self, text: str, *, live: bool = False) -> str: ...


#: Texts that have to be shown letter by letter: no mark in them is one of Markdown.
PLAIN = [
    "영업은 10~20시, 주말은 11~15시입니다. 가격은 1~3만 원.",
    "가로*세로*높이 = 부피, 2*3=6 그리고 4*5=20 입니다. (주1)* 설명 (주2)* 설명",
    "2**3**4 그리고 x**2",
    "__init__.py 와 snake__case__name, f(*args, **kwargs), int *a, *b; *p=*q",
    "It costs $5 and then $10.",
    r"질량은 \(E = mc^2\) 이고 \[ \frac{a}{b} \] 그리고 $a_1 * b_1 * c_1$, $$x_{i}*y_{i}*z$$",
    "각주[^1]입니다.",
    "[^1]: 설명",
    "[2]: https://example.org/a",
    "#해시태그 #한국",
    "##제목아님",
    "2024. 5. 1. 에 시작",
    "5. 1. 어린이날",
    "제네릭은 List<String> 과 vector<int> 입니다. if a<b and c>d.",
    "단축키는 <kbd>Ctrl</kbd>, H<sub>2</sub>O",
    "<!-- 주석 -->",
    "👨‍👩‍👧‍👦 🏳️‍🌈 🇰🇷 ㅎㅎ",
    "$$\na\n=\nb\n$$",
]


def link(href: str, text: str | None = None) -> str:
    """A link as the page makes it."""
    return f'<a href="{href}" target="_blank" rel="noopener noreferrer nofollow">{text or href}</a>'


SHOWN = {
    # a particle follows the closing mark at once
    '**"인용"**입니다': '<p><strong>"인용"</strong>입니다</p>',
    "**마크다운(Markdown)**의": "<p><strong>마크다운(Markdown)</strong>의</p>",
    "**`code`**는": "<p><strong><code>code</code></strong>는</p>",
    "***굵은 기울임***은": "<p><em><strong>굵은 기울임</strong></em>은</p>",
    "**굵고 *기울임* 섞임**도": "<p><strong>굵고 <em>기울임</em> 섞임</strong>도</p>",
    "**굵고 *기울임***도": "<p><strong>굵고 <em>기울임</em></strong>도</p>",
    "__밑줄__도": "<p><strong>밑줄</strong>도</p>",
    "매우**중요**한": "<p>매우<strong>중요</strong>한</p>",
    "**5 * 3 = 15**이다.": "<p><strong>5 * 3 = 15</strong>이다.</p>",
    "**별*표**다": "<p><strong>별*표</strong>다</p>",
    "*(웃으며)*그래": "<p><em>(웃으며)</em>그래</p>",
    "이건 ~~취소~~ 되었습니다.": "<p>이건 <del>취소</del> 되었습니다.</p>",
    # lines that other rules make code, a heading or another number of
    "    들여쓴 대사입니다.": "<p>    들여쓴 대사입니다.</p>",
    "가격: 1000원\n---\n다음": "<p>가격: 1000원</p><hr></hr><p>다음</p>",
    "-" * 60 + "\n**굵게**": "<hr></hr><p><strong>굵게</strong></p>",
    "*" * 40 + "\n**굵게**": "<hr></hr><p><strong>굵게</strong></p>",
    "3. 셋\n\n5. 다섯": '<ol><li value="3"><p>셋</p></li><li value="5"><p>다섯</p></li></ol>',
    "1. 하나\n1. 둘": '<ol><li value="1">하나</li><li>둘</li></ol>',
    "~~~\n10~20\n~~~": '<pre data-language="">10~20</pre>',
    # an address ends where the sentence goes on
    "https://example.org/문서를 참고": f"<p>{link('https://example.org/')}문서를 참고</p>",
    "(https://example.org/a_b_c)에서": f"<p>({link('https://example.org/a_b_c')})에서</p>",
    "https://example.org/a_(b).": f"<p>{link('https://example.org/a_(b)')}.</p>",
    "www.example.org는": f"<p>{link('https://www.example.org', 'www.example.org')}는</p>",
    "user@example.org로": f"<p>{link('mailto:user@example.org', 'user@example.org')}로</p>",
}


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Render]:
    """Makes the page's HTML of one text, by the page's own module."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "web", folder / "web")
    (folder / "package.json").write_text('{"type": "module"}')
    script = ROOT / "tests" / "support" / "render_markdown.mjs"
    command = ["node", str(script), str(folder / "web" / "app" / "markdown.js")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as node:
        stdin, stdout = node.stdin, node.stdout
        assert stdin
        assert stdout

        def shown(text: str, *, live: bool = False) -> str:
            stdin.write(json.dumps({"text": text, "live": live}) + "\n")
            answer: str = json.loads(stdout.readline())
            return answer.replace("&quot;", '"')

        yield shown
        stdin.close()


def visible(markup: str) -> str:
    """What a reader sees of it, line ends included."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup.replace("<br></br>", "\n")))


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_markup_is_shown_as_it_is(render: Render, text: str) -> None:
    """Ranges, products, identifiers, mathematics, footnotes and tags keep every sign."""
    shown = render(text)
    assert visible(shown) == text
    assert not re.search(r"<(em|strong|del|h\d|ol|ul)\b", shown)


@pytest.mark.parametrize("text", SHOWN)
def test_markup_is_read_as_korean_is_written(render: Render, text: str) -> None:
    """Emphasis before particles, addresses before Hangul, numbers as they were given."""
    assert render(text) == SHOWN[text]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        ">" * 6000 + " 끝",
        "- " * 3000 + "끝",
        "*가 " * 5000 + "끝",
        "[" * 5000 + "끝",
        "가~~" * 5000 + "끝",
    ],
    ids=["quotes", "lists", "stars", "brackets", "tildes"],
)
def test_no_nesting_blanks_the_page(render: Render, text: str, live: bool) -> None:
    """What nests too deep for the page is shown as it was written."""
    assert "끝" in visible(render(text, live=live))


def test_signs_are_not_closed_while_an_answer_streams(render: Render) -> None:
    """A product at the end of what has come so far is no open emphasis."""
    assert visible(render("2*3", live=True)) == "2*3"
    assert render("**굵", live=True) == "<p><strong>굵</strong></p>"
