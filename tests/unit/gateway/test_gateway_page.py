"""The 404 page: it stands alone, reads in two languages and in two colour schemes."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from chatbot_ai.gateway.config import NGINX_FOLDER

PAGE = (NGINX_FOLDER / "404.html").read_text(encoding="utf-8")


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ELEMENTS = _Elements().found


def test_page_needs_nothing_else() -> None:
    """No script, no style sheet, picture or font from anywhere, and less than 12 kB."""
    tags = {tag for tag, _ in ELEMENTS}
    assert not tags & {"script", "img", "iframe", "object", "embed", "base", "form"}
    loaded = [attrs.get("src") or attrs.get("href") for tag, attrs in ELEMENTS if tag != "a"]
    assert all(address.startswith("data:") for address in loaded if address)
    assert not re.search(r"@import|url\(", PAGE)
    assert not any(name.startswith("on") for _, attrs in ELEMENTS for name in attrs)
    assert len(PAGE.encode()) < 12_000


def test_page_leads_to_the_chat_and_both_assistants() -> None:
    """The reader is shown the chat first, then each assistant's API."""
    links = [attrs["href"] for tag, attrs in ELEMENTS if tag == "a"]
    assert links == ["/chat/", "/office/docs", "/character/docs"]


def test_page_says_its_languages() -> None:
    """Screen readers are told what is Korean and what is English."""
    languages = [attrs["lang"] for _, attrs in ELEMENTS if "lang" in attrs]
    assert languages[0] == "ko"
    assert set(languages[1:]) == {"en"}
    assert [tag for tag, _ in ELEMENTS].count("h1") == 1


def _luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("ink", "paper"), ("ink", "card"), ("ink", "said"), ("soft", "paper"), ("soft", "card"),
     ("soft", "said"), ("accent", "card")],
)  # fmt: skip
def test_text_stands_out(scheme: int, text: str, ground: str) -> None:
    """Every text has the contrast of WCAG 2.2 AA, 4.5 to 1, in both schemes."""
    palettes = re.findall(r":root \{([^}]*)\}", PAGE)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", palettes[scheme]))
    one, other = sorted((_luminance(colours[text]), _luminance(colours[ground])))
    assert (other + 0.05) / (one + 0.05) >= 4.5
