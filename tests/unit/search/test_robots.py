"""robots.txt as RFC 9309 reads it, the examples of its sections among the cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot_ai.search.page_fetch import parse_robots, product_token

AGENT = "ChatBotAI/2.0 (+https://example.org)"


def allowed(text: str, path: str) -> bool:
    crawler = product_token(AGENT)
    return parse_robots(text, crawler).can_fetch(f"https://a.example{path}", crawler)


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("Disallow: /", "/a", False),
        ("Disallow:", "/a", True),
        ("Allow: /public\nDisallow: /", "/public/a", True),
        ("Disallow: /\nAllow: /public", "/public/a", True),
        ("Disallow: /\nAllow: /public", "/private", False),
        ("Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
         "/example/page/disallowed.gif", False),
        ("Disallow: /a\nAllow: /a", "/a", True),
        ("Disallow: /*.gif$", "/x/y.gif", False),
        ("Disallow: /*.gif$", "/x/y.gif?z", True),
        ("Disallow: *.gif$\nAllow: /publications/", "/publications/a.gif", True),
        ("Disallow: /a*b*c", "/a1b2c3", False),
        ("Disallow: /a*b*c", "/a1c2b3", True),
        ("Disallow: /a*b$", "/ab1b", False),
        ("Disallow: /*?", "/a?b=1", False),
        ("Disallow: /*?", "/a", True),
        ("Disallow: /a$", "/a", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /글", "/%EA%B8%80/x", False),
        ("Disallow: /%EA%B8%80", "/%ea%b8%80", False),
        ("Disallow: /%7Ejoe", "/~joe/a", False),
        ("Disallow: /a%2Fb", "/a/b", True),
        ("disallow : /a  # reason", "/a", False),
        ("Crawl-delay: 9\nDisallow: /a", "/a", False),
    ],
)  # fmt: skip
def test_the_longest_rule_counts(rules: str, path: str, expected: bool) -> None:
    """The most specific rule wins, wherever it stands; stars and the end mark have their sense."""
    assert allowed(f"User-agent: *\n{rules}\n", path) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("User-agent: *\nDisallow: /\n\nUser-agent: chatbotai\nAllow: /\n", True),
        ("User-agent: ChatBotAI\nDisallow: /b\n\nUser-agent: *\nDisallow: /\n", True),
        ("User-agent: other\nUser-agent: CHATBOTAI/1.0\nDisallow: /a\n", False),
        ("User-agent: chatbotai\nDisallow: /b\nUser-agent: x\nDisallow: /\n"
         "User-agent: chatbotai\nDisallow: /a\n", False),
        ("User-agent: chatbotai\nUser-agent: *\nDisallow: /a", False),
        ("User-agent: chatbot\nDisallow: /\n", True),
        ("Disallow: /\n", True),
        ("User-agent: *\nSitemap: https://a.example/s\nDisallow: /a", False),
        ("\ufeffnonsense\n\x00\n:::\n", True),
        ("", True),
    ],
)  # fmt: skip
def test_the_crawlers_own_groups_count(text: str, expected: bool) -> None:
    """Groups that name this crawler count together; those of everybody only without such."""
    assert allowed(text, "/a") is expected


LINES = st.sampled_from(
    [
        "User-agent: *",
        "User-agent: chatbotai",
        "Disallow: /",
        "Allow: /a*",
        "Disallow: *$",
        "# x",
        "",
    ]
)


@given(st.one_of(st.text(max_size=300), st.lists(LINES).map("\n".join)), st.text(max_size=60))
def test_any_text_is_read(text: str, path: str) -> None:
    """Whatever a site serves there is an answer, and without a rule it is yes."""
    answer = allowed(text, f"/{path}")
    assert answer or "isallow" in text


def test_hostile_patterns_cost_little() -> None:
    """A thousand stars against a long path end: one that went back for each would take for ever."""
    text = "User-agent: *\n" + ("Disallow: /" + "a*" * 1000 + "b\n") * 100
    assert allowed(text, "/" + "a" * 4000)
