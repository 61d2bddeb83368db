"""The load-test report in a real browser: drawn, readable, safe, and without network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from chatbot_ai.tools.loadtest.record import Record, RecordFile
from chatbot_ai.tools.loadtest.report import write_report

BEGAN = datetime(2026, 1, 31, 14, 25, 1).astimezone()
TROUBLE = '</script><img src=x onerror="document.title=1">'
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


def records(count: int, users: int, label: str) -> list[Record]:
    """A run with answers in both modes, refusals and failures, slower as it goes on."""
    found = []
    for index in range(count):
        kind = "refused" if index % 9 == 4 else "failed" if index % 31 == 7 else "answered"
        total_s = 0.02 if kind == "refused" else 1.5 + index * 0.02 + (index % 7) * 0.2
        answered = kind == "answered"
        found.append(
            Record(
                time=BEGAN + timedelta(seconds=index * 0.8),
                user=f"u{index % users}",
                endpoint="/character/Llama",
                mode="stream" if index % 2 else "json",
                status={"answered": 200, "refused": 503, "failed": 0}[kind],
                outcome=kind,  # type: ignore[arg-type]
                cause={"answered": "", "refused": "busy", "failed": TROUBLE}[kind],
                total_s=total_s,
                queue_s=total_s * 0.6 if answered else None,
                first_token_s=total_s * 0.7 if answered else None,
                announced_wait_s=total_s * 0.55 if answered else None,
                queue_position=3 if answered else None,
                users=users,
                label=label,
            )
        )
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("results")
    for name, count, users, label in (
        ("character_20260131_142501", 150, 15, "15명"),
        ("character_20260131_152501", 90, 60, TROUBLE),
    ):
        with RecordFile(folder / f"{name}.csv") as file:
            shift = timedelta(hours=1) if users == 60 else timedelta(0)
            for item in records(count, users, label):
                file.write(Record(**{**_fields(item), "time": item.time + shift}))
    return write_report(folder).as_uri()


def _fields(item: Record) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Any]:
    """Opens the report; when the test ends, nothing may have been complained of or asked for."""
    opened, complaints = [], []

    def opener(
        size: dict[str, int] = DESKTOP, scheme: str = "light", locale: str = "ko-KR"
    ) -> Page:
        context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            locale=locale,
        )
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: None if r.url == address else complaints.append(r.url))
        page.goto(address)
        expect(page.locator("svg.chart").first).to_be_visible()
        return page

    yield opener
    for context in opened:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
@pytest.mark.parametrize("locale", ["ko-KR", "en-US"])
def test_page_fits_its_window(
    open_page: Any, size: dict[str, int], scheme: str, locale: str
) -> None:
    """On phone and desktop nothing is wider than the window and no axis text covers another."""
    page = open_page(size, scheme, locale)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    expect(page.locator("svg.chart")).to_have_count(6)
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    covered = page.evaluate("""() => {
        const found = [];
        for (const chart of document.querySelectorAll('svg.chart')) {
            const edge = chart.getBoundingClientRect();
            const boxes = [...chart.querySelectorAll('text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
            boxes.forEach(([name, a], i) => {
                if (a.left < edge.left - 1 || a.right > edge.right + 1) found.push([chart.ariaLabel, name, 'outside']);
                for (const [other, b] of boxes.slice(i + 1)) {
                    if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom) found.push([name, other]);
                }
            });
        }
        return found;
    }""")  # noqa: E501
    assert covered == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(open_page: Any, scheme: str) -> None:
    """Text has a contrast of at least 4.5 to its ground and every mark's colour at least 3."""
    page = open_page(DESKTOP, scheme)
    colours = page.evaluate("""() => {
        const style = getComputedStyle(document.documentElement);
        return Object.fromEntries(['page', 'panel', 'ink', 'soft', 'accent', 'accent-ink',
            'answered', 'refused', 'interrupted', 'failed', 'abandoned']
            .map((name) => [name, style.getPropertyValue('--' + name).trim()]));
    }""")
    for text in ("ink", "soft", "accent"):
        for ground in ("page", "panel"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["accent-ink"], colours["accent"]) >= 4.5
    for mark in ("answered", "refused", "interrupted", "failed", "abandoned"):
        assert contrast(colours[mark], colours["panel"]) >= 3, mark


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio of two #rrggbb colours."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_switches_change_language_theme_and_are_remembered(open_page: Any) -> None:
    """Language and colours change at once, keep the focus, and last beyond a reload."""
    page = open_page()
    title = page.locator("h1").inner_text()
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).not_to_have_text(title)
    expect(page.get_by_role("button", name="English")).to_be_focused()
    page.locator("#themes [data-value=dark]").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_charts_are_read_by_keyboard(open_page: Any) -> None:
    """Arrow keys step through a chart's values, which are read out in a live region."""
    page = open_page()
    chart = page.locator("svg.chart").first
    readout = page.locator("[aria-live]").first
    chart.focus()
    page.keyboard.press("ArrowRight")
    first = readout.inner_text()
    page.keyboard.press("End")
    expect(readout).not_to_have_text(first)
    page.keyboard.press("Home")
    expect(readout).to_have_text(first)
    assert re.search(r"\d", first)


def test_every_chart_has_a_table(open_page: Any) -> None:
    """Behind each panel's chart stands a table with a caption, opened by a named button."""
    page = open_page()
    openers = page.locator("button.opener")
    expect(openers).to_have_count(6)
    for index in range(openers.count()):
        opener = openers.nth(index)
        opener.click()
        expect(opener).to_have_attribute("aria-expanded", "true")
        table = page.locator(".behind").nth(index).locator("table")
        expect(table).to_be_visible()
        assert table.locator("caption").inner_text()
        assert table.locator("tbody tr").count() > 0


def test_runs_and_modes_are_chosen(open_page: Any) -> None:
    """Another run or mode changes the figures; the comparison leads to a run."""
    page = open_page()
    tiles = page.locator(".tiles")
    whole = tiles.inner_text()
    page.locator("#modes [data-value=stream]").click()
    expect(tiles).not_to_have_text(whole)
    page.locator("#runs").select_option("character_20260131_142501")
    expect(page.locator("tr.chosen")).to_contain_text("character_20260131_142501")
    page.get_by_role("button", name="character_20260131_152501").click()
    expect(page.locator("#runs")).to_have_value("character_20260131_152501")


def test_text_from_files_stays_text(open_page: Any) -> None:
    """A label or cause that looks like HTML is shown as it is and does nothing."""
    page = open_page()
    expect(page.locator("main img")).to_have_count(0)
    expect(page.locator(".run-label").filter(has_text=TROUBLE)).to_have_count(1)
    expect(page.locator(".bar-name").filter(has_text=TROUBLE)).to_have_count(1)
    assert page.title() != "1"


def test_an_empty_folder_has_a_page(browser: Browser, tmp_path: Path) -> None:
    """Without any run the page says how to make one."""
    page = browser.new_page()
    page.goto(write_report(tmp_path).as_uri())
    expect(page.locator("main .empty")).to_contain_text("chatbot-ai loadtest")
    page.close()
