"""Macros and Korean particles."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from chatbot_ai.cards.errors import CardError
from chatbot_ai.cards.macros import MAX_EXPANDED_CHARS, MacroScope, expand
from chatbot_ai.domain.particles import find_ending, resolve_particle, with_particle

SCOPE = MacroScope(
    char="서연",
    user="민수",
    seed="s",
    chat_seed="c",
    now=datetime(2026, 11, 2, 15, 4),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{char}} {{USER}} <User> <BOT> <char>", "서연 민수 민수 서연 서연"),
        ("{{ char }}", "서연"),
        ("{{{char}}}", "{서연}"),
        ("{{{{char}}}}", "{{서연}}"),
        ("{{unknown}} {{setvar::a}} {{char2}} {{char:x}}", None),
        ("{{ }} {{}} {{: a}} }} {{", None),
        ("{{char", None),
        ("a{{// note {{char}} }}b", "ab"),
        ("a{{//note}}b{{comment: shown}}c{{hidden_key: key}}d", "abcd"),
        ("{{reverse:가나다}}", "다나가"),
        ("{{reverse::{{char}}}}", "연서"),
        ("{{random:{{user}}}}", "민수"),
        ("{{pick::a}} {{random: a\\,b }}", "a a,b"),
        ("{{roll:1}} {{roll:d1}} {{roll 3d1}} {{ROLL::1}}", "1 1 3 1"),
        ("{{roll:0}} {{roll:x}} {{roll:999d999999999999}} {{random}}", None),
        ("{{original}}", None),
        ("{{time}} {{date}}", "오후 3:04 2026년 11월 2일"),
        ("<USERS> < user>", None),
    ],
)
def test_macros_are_replaced_and_unknown_ones_stay(text: str, expected: str | None) -> None:
    """None stands for the text itself."""
    assert expand(text, SCOPE) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n\n{{trim}}\nb{{newline}}c{{noop}}{{none}}d{{br}}e", "ab\ncd\ne"),
        ("{{setvar::a::1}}{{getvar::a}}{{incvar::a}}{{addvar::a::3}}{{getvar::a}}", "125"),
        ("{{weekday}} {{isodate}} {{isotime}}", "월요일 2026-11-02 15:04"),
        ("{{datetimeformat YYYY.M.D [시각] HH:mm A}}", "2026.11.2 시각 15:04 오후"),
        ("{{charName}} {{charIfNotGroup}} {{group}}", "서연 서연 서연"),
        ("{{description}}|{{persona}}|{{lastMessage}}{{idle_duration}}", "서연은 사서||"),
        ("{{img::a}}{{asset::a}}{{image::a}}{{bg::b}}{{emotion::happy}}", ""),
        ("{{#if 1}}네{{else}}아니요{{/if}}{{#if x}}아니요{{/if}}{{/if}}", "네"),
        ("{{calc::1e308*10}}{{calc::1/0}}", "{{calc::1e308*10}}{{calc::1/0}}"),
        ("{{calc::1e308*10-1e308*10}}", "{{calc::1e308*10-1e308*10}}"),
        ("{{#if {{calc::1<2}}}}네{{#if 0}}아니요{{/if}}{{/if}}", "네"),
        (
            "{{calc::1+2*3}} {{? 7/2}} {{calc::2**99}} {{calc::x}}",
            "7 3.5 {{calc::2**99}} {{calc::x}}",
        ),
    ],
)
def test_the_well_known_macros_of_other_applications_are_replaced(text: str, expected: str) -> None:
    """What SillyTavern and RisuAI replace does not stay literal."""
    scope = replace(SCOPE, texts={"description": "{{char}}은 사서"}, variables={})
    assert expand(text, scope) == expected


def test_views_show_what_the_prompt_must_not_hold() -> None:
    """Comments are for readers, hidden keys for the scan."""
    text = "a{{comment: b }}{{hidden_key:c}}{{// d}}"
    assert expand(text, SCOPE, "display") == "ab"
    assert expand(text, SCOPE, "match") == "ac"


def test_original_is_the_users_own_text_and_is_not_read_again() -> None:
    """Text that comes in through a macro has no macros."""
    scope = replace(SCOPE, original="{{char}} <USER>", user="{{char}}")
    assert expand("{{original}} {{user}}", scope) == "{{char}} <USER> {{char}}"


def test_chance_depends_on_the_seed_alone() -> None:
    """The same prompt built twice is the same; another seed draws anew."""
    text = "{{random:a,b,c,d,e,f,g,h}}{{roll:1000}}{{random:a,b,c,d,e,f,g,h}}"
    assert expand(text, SCOPE) == expand(text, SCOPE)
    assert len({expand(text, replace(SCOPE, seed=str(n))) for n in range(20)}) > 10
    pick = "{{pick::a::b::c::d::e::f::g::h}}"
    assert len({expand(pick, replace(SCOPE, seed=str(n))) for n in range(20)}) == 1
    assert len({expand(pick, replace(SCOPE, chat_seed=str(n))) for n in range(20)}) > 3


def test_every_choice_can_be_drawn() -> None:
    """No choice of a list is out of reach, and no dice leave their range."""
    drawn = {expand("{{random::가::나, 다}}", replace(SCOPE, seed=str(n))) for n in range(50)}
    assert drawn == {"가", "나, 다"}
    rolled = {int(expand("{{roll:2d6}}", replace(SCOPE, seed=str(n)))) for n in range(200)}
    assert min(rolled) >= 2
    assert max(rolled) <= 12
    assert len(rolled) > 8


@pytest.mark.parametrize(
    "text",
    ["<USER>" * 100_000, "{{user}}" * 100_000, "{{a" * 9_000 + "}}" * 9_000, "{{roll:6}}" * 10_001],
)
def test_a_text_that_would_explode_is_refused(text: str) -> None:
    """Memory and time stay bounded."""
    with pytest.raises(CardError) as caught:
        expand(text, replace(SCOPE, user="x" * (MAX_EXPANDED_CHARS // 1000)))
    assert caught.value.reason == "text_too_long"


def test_particles_follow_the_name_if_asked() -> None:
    """Only behind a macro, only marked ones, only on request."""
    text = "{{user}}은(는) {{char}}을/를 <BOT>(으)로, {{user}}이/가 {{char}}와(과); 사과은(는)"
    scope = replace(SCOPE, particles=True)
    assert expand(text, scope) == "민수는 서연을 서연으로, 민수가 서연과; 사과은(는)"
    assert expand("{{user}}은(는)", SCOPE) == "민수은(는)"
    assert expand("{{user}}{{// x}}은(는) {{user}} 은(는)", scope) == "민수는 민수 은(는)"
    assert expand("{{random:사과}}을(를)", scope) == "사과를"


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        ("민수 레이첼리 2 4 5 9 AI GPT Tommy Mike Chloe Robert David Peter 1조 B2 ㅏ", "vowel"),
        ("서울 민철 1 7 8 11 Rachel Bill Nicole Michelle URL HR ㄹ", "rieul"),
        ("서연 0 3 6 10 100 20 Tom Kim Jane Anne Jack Bob Brian King ATM GM ㄱ はん", "consonant"),
    ],
)
def test_the_ending_of_a_word_is_that_of_its_korean_reading(words: str, ending: str) -> None:
    """Hangul by its final, digits and Latin as Koreans read them aloud."""
    names = words.split()
    assert {name: find_ending(name) for name in names} == dict.fromkeys(names, ending)


@pytest.mark.parametrize("word", ["", "!!", "漢字", "ж", "🙂"])
def test_an_ending_nobody_can_tell_leaves_the_marked_form(word: str) -> None:
    """Better two forms than the wrong one."""
    assert find_ending(word) is None
    assert resolve_particle(word, "은(는) 간다") == "은(는) 간다"


def test_quotes_emoji_and_decomposed_names_do_not_mislead() -> None:
    """The last letter counts, however it is stored."""
    assert with_particle("‘서연’", "은(는)") == "은"
    assert with_particle("민수🙂", "을(를)") == "를"
    assert with_particle("\u1109\u1165\u110b\u1167\u11ab", "이(가)") == "이"


@pytest.mark.parametrize(
    ("marked", "forms"),
    [
        ("은(는)", ("은", "는", "은")),
        ("는/은", ("은", "는", "은")),
        ("(이)가", None),
        ("가(이)", ("이", "가", "이")),
        ("을/를", ("을", "를", "을")),
        ("과(와)", ("과", "와", "과")),
        ("(으)로", ("으로", "로", "로")),
        ("으로/로", ("으로", "로", "로")),
        ("(이)라", ("이라", "라", "이라")),
        ("(이)랑", ("이랑", "랑", "이랑")),
        ("아/야", ("아", "야", "아")),
    ],
)
def test_every_particle_takes_its_form(marked: str, forms: tuple[str, str, str] | None) -> None:
    """After a consonant, a vowel and ㄹ."""
    found = tuple(with_particle(name, marked) for name in ("서연", "민수", "민철"))
    assert found == (forms or ("이", "가", "이"))
