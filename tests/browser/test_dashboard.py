"""The operators' page in a real browser, in front of the whole stack with the small real model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bench.stack import Stack, stack
from playwright.sync_api import Browser, BrowserContext, Page, expect

from chatbot_ai.tools.loadtest.report import write_report
from support.engines import MODELS, QUICK_MODEL, quick_model
from support.operator_services import Keyed, keyed_services

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}

#: Milliseconds that a page gets on a busy machine.
PATIENCE_MS = 120_000
QUESTIONS = 3

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """The whole stack, with a few answers given, one request left and a load-test report."""
    quick_model()
    with stack(
        MODEL_DIR=str(MODELS),
        OFFICE_MODEL_FILE=QUICK_MODEL,
        CHARACTER_MODEL_FILE=QUICK_MODEL,
        CHATBOT_ANSWER_TOKENS="16",
        CHATBOT_CONTEXT_TOKENS="1024",
    ) as started:
        reports = started.data.parent / "loadtest" / "results"
        reports.mkdir(parents=True)
        write_report(reports)
        with httpx2.Client(base_url=started.url, trust_env=False, timeout=300) as client:
            for number in range(QUESTIONS):
                body = {"input_data": f"Hello {number}", "user_id": "u1", "db_id": "c1"}
                client.post("/office/Llama", json=body).raise_for_status()
        yield started


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keyed")
    with keyed_services(folder) as services:
        write_report(folder / "reports")
        yield services


@pytest.fixture
def contexts(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    opened = []

    def context(
        size: dict[str, int] = DESKTOP, scheme: str = "light", locale: str = "ko-KR"
    ) -> BrowserContext:
        made = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            locale=locale,
        )
        made.set_default_timeout(PATIENCE_MS)
        opened.append(made)
        return made

    expect.set_options(timeout=PATIENCE_MS)
    yield context
    for made in opened:
        made.close()


@pytest.fixture
def open_page(contexts: Callable[..., BrowserContext], running: Stack) -> Iterator[Opener]:
    """Opens the dashboard; in the end nothing was complained of and nobody else was asked."""
    complaints: list[str] = []

    def opener(*chosen: Any) -> Page:
        page = contexts(*chosen).new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith(running.url) else complaints.append(r.url),
        )
        page.goto(f"{running.url}/dashboard/")
        expect(page.locator(".card .body")).to_have_count(2)
        for body in page.locator(".card .body").all():
            expect(body).to_be_visible()
        return page

    yield opener
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_page_fits_its_window(
    open_page: Opener, size: dict[str, int], scheme: str, locale: str
) -> None:
    """On phone and desktop nothing is wider than the window and no text of a chart is cut off."""
    page = open_page(size, scheme, locale)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    expect(page.locator("svg.spark")).to_have_count(8)
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    spoilt = page.evaluate("""() => {
        const found = [];
        for (const chart of document.querySelectorAll('svg.spark')) {
            const edge = chart.getBoundingClientRect();
            const boxes = [...chart.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
            boxes.forEach(([name, a], i) => {
                if (a.left < edge.left - 1 || a.right > edge.right + 1 || a.bottom > edge.bottom + 2) found.push([chart.ariaLabel, name]);
                for (const [other, b] of boxes.slice(i + 1)) {
                    if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom) found.push([name, other]);
                }
            });
        }
        for (const cell of document.querySelectorAll('.tile, .badge, .parts > div, .errors li')) {
            if (cell.scrollWidth > cell.clientWidth + 1) found.push(['wide', cell.textContent]);
        }
        return found;
    }""")  # noqa: E501
    assert spoilt == []
    keep_picture(page, f"dashboard-{locale[:2]}-{scheme}-{size['width']}")


def keep_picture(page: Page, name: str) -> None:
    """A picture of the whole page, kept for people to look at where the environment asks for it."""
    data = page.screenshot(full_page=True)
    width, height = (int.from_bytes(data[i : i + 4]) for i in (16, 20))
    assert width == page.evaluate("window.innerWidth")
    assert height >= page.evaluate("window.innerHeight")
    if folder := os.environ.get("SCREENSHOT_DIR"):
        Path(folder, f"{name}.png").write_bytes(data)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(open_page: Opener, scheme: str) -> None:
    """Text has a contrast of at least 4.5 to its ground and every mark's colour at least 3."""
    page = open_page(DESKTOP, scheme)
    colours = page.evaluate("""() => {
        const style = getComputedStyle(document.documentElement);
        return Object.fromEntries(['page', 'panel', 'ink', 'soft', 'grid', 'accent', 'accent-ink', 'good', 'warn', 'bad',
            'good-ground', 'warn-ground', 'bad-ground', 'answered', 'refused', 'failed', 'cancelled', 'running', 'waiting', 'p50', 'p95', 'tokens']
            .map((name) => [name, style.getPropertyValue('--' + name).trim()]));
    }""")  # noqa: E501
    for text in ("ink", "soft", "accent", "bad", "warn"):
        for ground in ("page", "panel"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for level in ("good", "warn", "bad"):
        assert contrast(colours[level], colours[f"{level}-ground"]) >= 4.5, level
    assert contrast(colours["accent-ink"], colours["accent"]) >= 4.5
    assert contrast(colours["soft"], colours["grid"]) >= 4.5
    marks = ("answered", "refused", "failed", "cancelled", "running", "waiting", "p50", "p95")
    for mark in (*marks, "tokens"):
        assert contrast(colours[mark], colours["panel"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two #rrggbb colours."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_figures_are_the_services_own(open_page: Opener, running: Stack) -> None:
    """What stands there is what /status says, and a new answer appears without a reload."""
    page = open_page(DESKTOP, "light", "en-US")
    office = page.locator("[data-assistant=office]")
    told = httpx2.get(f"{running.url}/office/status", timeout=60).json()
    answered = told["performance"]["last_15_minutes"]["answered"]
    assert answered >= QUESTIONS
    expect(office.locator(".badge")).to_have_attribute("data-level", "ok")
    answers = office.locator(".tile").nth(2)
    expect(answers).to_contain_text(f"{answered} answers")
    expect(office).to_contain_text(told["performance"]["model"])
    expect(office.locator(".parts")).to_contain_text("running")
    expect(office.locator(".parts")).to_contain_text(told["version"])
    expect(office.locator(".parts")).not_to_contain_text("not known")
    seen = [max(point["running"], point["waiting"]) for point in told["series"]]
    expect(office.locator("figure").first).to_contain_text(f"peak {max(seen)}")
    size = office.locator(".parts dt").first.evaluate("(e) => getComputedStyle(e).fontSize")
    expect(office.locator("p.errors")).to_have_css("font-size", size)
    body = {"input_data": "One more", "user_id": "u2"}
    httpx2.post(f"{running.url}/office/Llama", json=body, timeout=300).raise_for_status()
    expect(answers).to_contain_text(f"{answered + 1} answers")


def test_charts_are_read_by_keyboard_and_as_tables(open_page: Opener) -> None:
    """Arrow keys step through a chart's points; the table behind it stays open as time goes on."""
    page = open_page()
    chart = page.locator("[data-assistant=office] figure").first
    chart.locator("svg.spark").focus()
    page.keyboard.press("ArrowLeft")
    expect(chart.locator(".readout")).to_have_text(re.compile(r"\d\d:\d\d:\d\d · .*\d"))
    page.keyboard.press("Escape")
    expect(chart.locator(".readout .key")).to_have_count(2)
    chart.locator("summary").click()
    rows = chart.locator("tbody tr")
    expect(rows.first).to_be_visible()
    before = page.locator("#pulse-text").inner_text()
    expect(page.locator("#pulse-text")).not_to_have_text(before)
    expect(rows.first).to_be_visible()
    assert chart.locator("svg.spark").get_attribute("aria-label")
    assert chart.locator("table caption").inner_text()


def test_switches_change_language_and_colours_for_good(open_page: Opener) -> None:
    """Language and colours change at once, keep the focus, and last beyond a reload."""
    page = open_page()
    title = page.locator("h1").inner_text()
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).not_to_have_text(title)
    expect(page.get_by_role("button", name="English")).to_be_focused()
    page.locator("#themes [data-value=dark]").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_lost_connection_is_told_and_ends(
    contexts: Callable[..., BrowserContext], running: Stack
) -> None:
    """Old figures stay, marked as old with their age, until new ones come."""
    context = contexts()
    page = context.new_page()
    page.goto(f"{running.url}/dashboard/")
    card = page.locator("[data-assistant=character]")
    expect(card.locator(".body")).to_be_visible()
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    context.set_offline(True)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "trouble")
    expect(card).to_have_attribute("data-stale", "true")
    expect(card.locator(".note")).to_contain_text(re.compile(r"\d"))
    expect(card.locator(".badge")).to_have_attribute("data-level", "bad")
    expect(card.locator(".body")).to_be_visible()
    context.set_offline(False)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    expect(card).to_have_attribute("data-stale", "false")
    expect(card.locator(".note")).to_be_hidden()


def test_hidden_tab_asks_for_nothing(open_page: Opener) -> None:
    """A page that nobody sees rests, and goes on when it is seen again."""
    page = open_page()
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")
    hide = """(hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(hide, True)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "paused")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5000)
    assert asked == []
    page.evaluate(hide, False)
    expect(page.locator("#pulse")).to_have_attribute("data-state", "live")


def test_report_opens_beside_the_dashboard(open_page: Opener) -> None:
    """On this machine the load tests' page is one click away, and works."""
    page = open_page()
    with page.expect_popup() as opened:
        page.locator("#reports a").click()
    report = opened.value
    complaints: list[str] = []
    report.on("console", lambda message: complaints.append(message.text))
    expect(report.locator("main .empty")).to_be_visible()
    report.reload()
    expect(report.locator("h1")).not_to_be_empty()
    assert complaints == []


def test_key_opens_the_figures(
    contexts: Callable[..., BrowserContext], keyed: Keyed, tmp_path: Path
) -> None:
    """Without the operator's key nothing is shown; with it all is, and it leaves with the tab."""
    page = contexts(DESKTOP, "light", "en-US").new_page()
    page.goto(f"{keyed.url}/dashboard/")
    expect(page.locator("#gate form")).to_be_visible()
    expect(page.locator(".card .body").first).to_be_hidden()
    expect(page.locator("#reports")).to_be_hidden()
    alert, said = page.locator("#gate [role=alert]"), ""
    for wrong in ("nonsense", keyed.user):
        page.locator("#key").fill(wrong)
        page.locator("#key").press("Enter")
        expect(alert).to_be_visible()
        expect(alert).not_to_have_text(said)
        said = alert.inner_text()
        expect(page.locator(".card .body").first).to_be_hidden()
    page.locator("#key").fill(keyed.operator)
    page.locator("#key").press("Enter")
    for body in page.locator(".card .body").all():
        expect(body).to_be_visible()
    expect(page.locator("#gate form")).to_have_count(0)
    # the engine of these services is away, and the page says so
    expect(page.locator(".badge").first).to_have_attribute("data-level", "bad")
    expect(page.locator(".parts dd[data-level=bad]").first).to_be_visible()
    assert keyed.operator not in page.evaluate("JSON.stringify(localStorage)")
    assert keyed.operator not in page.url
    with page.expect_download() as saved:
        page.locator("#reports button").click()
    path = tmp_path / "report.html"
    saved.value.save_as(path)
    assert "<!doctype html>" in path.read_text(encoding="utf-8")
    page.locator("#gate button").click()
    expect(page.locator("#gate form")).to_be_visible()
    expect(page.locator(".card .body").first).to_be_hidden()
    assert keyed.operator not in page.content()
