"""The report as a page, which Chromium opens."""

import re

import pytest
from playwright.sync_api import Browser, Page

import pages
from checklist import words
from checklist.page import code, render
from checklist.report import Report
from pages import (
    WIDTHS,
    assert_no_wider_than_the_window,
    assert_texts_stand_out,
    loading_nothing,
    opened_page,
)
from reports import REPORTS, failures, hostile

MOST_BYTES = 300_000

chromium, report = pages.chromium, pages.each_of(REPORTS)
opened = pages.each_opened(REPORTS, render)


def test_page_needs_nothing_else(report: Report) -> None:
    """Its links lead to who asks for an item, or to another item."""
    html = render(report)
    assert len(html.encode()) < MOST_BYTES
    attributes = loading_nothing(html).attributes
    names = attributes.get("id", [])
    assert len(names) == len({*names}) == len(report.items)
    leads = {item.link for item in report.items} | {f"#{name}" for name in names}
    assert {*attributes.get("href", [])} <= leads


def test_nothing_is_wider_than_the_window(opened: Page) -> None:
    assert_no_wider_than_the_window(opened)


def test_texts_stand_out(opened: Page) -> None:
    assert_texts_stand_out(opened)


def test_all_that_was_found_is_there_in_its_order(chromium: Browser, report: Report) -> None:
    with opened_page(chromium, render(report), WIDTHS[1], "light") as page:
        assert page.locator("h1").inner_text() == words.headline(report)
        assert page.locator(".lead").inner_text() == report.sentence
        shown = page.locator("article").all_inner_texts()
        told = [text for text in page.locator("h2").all_inner_texts() if text != "What to fix"]
    assert told == list(words.groups(report.items))
    for item, text in zip(report.items, map(plain, shown), strict=True):
        ours = (item.title, item.proves, item.why, item.link, item.fix, *item.needs)
        for part in (*ours, words.MARKS[item.verdict]):
            assert plain(part.replace("`", "")) in text
        assert (f" {item.seconds:g} s " in text) == bool(item.seconds)
        assert plain(item.words)[:400] in text


def plain(text: str) -> str:
    return " ".join(text.split())


def test_what_failed_is_open_and_all_is_printed(chromium: Browser) -> None:
    """Without a script."""
    report = failures()
    page = chromium.new_page(java_script_enabled=False)
    page.set_content(render(report))
    for item in report.items:
        claim = page.locator(f"#{item.id} dd").first
        assert claim.is_visible() == (item.verdict == "failed")
    page.locator("#no-secret summary").click()
    assert page.locator("#no-secret dd").first.is_visible()
    page.emulate_media(media="print")
    for item in report.items:
        assert page.locator(f"#{item.id} dd").first.is_visible()
    page.close()


def test_what_others_wrote_is_only_text(chromium: Browser) -> None:
    page = chromium.new_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.on("request", lambda request: pytest.fail(request.url))
    page.set_content(render(hostile()))
    assert page.locator("article p", has_text="alert(1)").count() == 60
    page.close()


def test_code_is_marked() -> None:
    assert code("set `<b>` & go") == "set <code>&lt;b&gt;</code> &amp; go"
    assert code("half a `pair") == "half a `pair"
    assert re.search(r"report <code>loading</code> with status", render(failures()))
