"""The report as a page, which Chromium opens, and as a summary."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from playwright.sync_api import Browser, Page

import pages
from load_test import words
from load_test.page import chosen, render
from load_test.report import Report
from load_test.summary import markdown
from pages import (
    assert_no_wider_than_the_window,
    assert_texts_stand_out,
    loading_nothing,
)
from reporting.words import UNKNOWN, count, percent, size
from reports import REPORTS, by_latency, by_memory, hostile, invalid

MOST_BYTES = 300_000
LEAST_PIXELS = 12
UNITS = {"ms": 1, "s": 1000, "%": 0.01, "MiB": 2**20, "GiB": 2**30}
# Of each picture: its box, and each label with the size of its letters and its box.
LABELS = """() => [...document.querySelectorAll("svg")].map(picture => {
  const box = each => { const r = each.getBoundingClientRect()
    return [r.left, r.top, r.right, r.bottom] }
  const scale = picture.getBoundingClientRect().width / picture.viewBox.baseVal.width
  const size = each => scale * parseFloat(getComputedStyle(each).fontSize)
  const labels = [...picture.querySelectorAll("text")]
  return [box(picture), labels.map(each => [each.textContent, size(each), box(each)])]
})"""

type Box = tuple[float, float, float, float]


chromium, report = pages.chromium, pages.each_of(REPORTS)
opened = pages.each_opened(REPORTS, render)


def pictures(report: Report) -> list[ET.Element]:
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", render(report), re.S)]


def tables(report: Report) -> list[list[list[str]]]:
    found = re.findall(r"<table.*?</table>", render(report), re.S)
    rows = [re.findall(r"<tr.*?</tr>", table, re.S) for table in found]
    return [[re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", r) for r in table] for table in rows]


def test_page_needs_nothing_else(report: Report) -> None:
    html = render(report)
    assert len(html.encode()) < MOST_BYTES
    assert "href" not in loading_nothing(html).attributes


def test_pictures_say_what_they_are(report: Report) -> None:
    found = pictures(report)
    named = [picture.attrib["aria-labelledby"].split() for picture in found]
    assert len({*itertools.chain(*named)}) == 2 * len(found)
    for picture, names in zip(found, named, strict=True):
        assert picture.attrib["role"] == "img"
        title, description = picture[:2]
        assert [title.attrib["id"], description.attrib["id"]] == names
        assert title.text
        assert description.text


def value(text: str) -> float:
    number, unit = text.split()
    return float(number) * UNITS[unit]


def reading(picture: ET.Element, y: float) -> float:
    """The value at this height, by the highest and the lowest tick of the picture's own axis."""
    left = min(float(text.attrib["x"]) for text in picture.iter("text"))
    ticks = [text for text in picture.iter("text") if float(text.attrib["x"]) == left]
    (bottom, low), (top, high) = (
        (float(tick.attrib["y"]) - 4, value(tick.text or "")) for tick in (ticks[0], ticks[-1])
    )
    part = (bottom - y) / (bottom - top)
    if (picture[0].text or "").startswith("Latency"):
        return float(low * (high / low) ** part)
    return low + (high - low) * part


def test_each_picture_shows_the_numbers_of_its_table(report: Report) -> None:
    found = tables(report)
    assert len(found) == len(pictures(report)) + bool(report.levels)
    invalid = {words.cells(level)[0] for level in report.levels if level.verdict == "invalid"}
    for picture, (head, *rows) in zip(pictures(report), found, strict=False):
        lines = [path for path in picture.iter("path") if path.attrib["class"] in "abc"]
        for number, line in enumerate(lines, 1):
            heights = re.findall(r"[ML][\d.]+ ([\d.]+)", line.attrib["d"])
            told = [row[number] for row in rows if head[0] != "sessions" or row[0] not in invalid]
            known = [value(cell) for cell in told if cell != UNKNOWN]
            nearly = pytest.approx(known, rel=0.05, abs=0.002 if head[1] == "share" else 0.11)
            assert [reading(picture, float(y)) for y in heights] == nearly


def test_tables_hold_the_figures_of_the_report() -> None:
    report = by_memory()
    latency, on_time, memory = (table[1:] for table in tables(report)[:3])
    for number, level in enumerate(sorted(report.levels, key=lambda level: level.sessions)):
        frames, used, (name, *_) = level.frames, level.memory, words.cells(level)
        ages = [words.milliseconds(a.ms) for a in (frames.age_p50, frames.age_p95, frames.age_p99)]
        assert latency[number] == [name, *ages]
        assert on_time[number] == [name, percent(frames.worst_share)]
        peak = size(used.peak_bytes if used else None)
        assert memory[number + 1] == [name, peak, *memory[number + 1][2:]]
    assert memory[0][:2] == ["0, idle", "6.5 GiB"]
    assert tables(report)[-1][1:] == [*map(words.cells, report.levels)]


def test_what_is_not_known_is_a_gap() -> None:
    """A dash in the table, and no line across it."""
    report = by_memory()
    for picture, (_, *rows) in zip(pictures(report), tables(report), strict=False):
        lines = [path for path in picture.iter("path") if path.attrib["class"] in "abc"]
        for number, line in enumerate(lines, 1):
            known = [row[number] != UNKNOWN for row in rows]
            pieces = [group for group, _ in itertools.groupby(known) if group]
            assert line.attrib["d"].count("M") == len(pieces)


def test_a_figure_that_is_not_known_has_its_reason() -> None:
    html = render(by_memory())
    assert "<li>1 session: p99 is not known: 300 frames, 459 are needed.</li>" in html


def test_verdicts_differ_by_shape_and_word() -> None:
    report = hostile()
    on_time = {path.attrib["class"]: path.attrib["d"] for path in pictures(report)[1].iter("path")}
    for verdict, shape in {"met": "a3.5", "not met": "l8 8", "invalid": "h8v8"}.items():
        levels = [level for level in report.levels if level.verdict == verdict]
        assert on_time[f"a {verdict}"].count(shape) >= len(levels) > 0
        rows = [row for row in tables(report)[-1] if row[1].startswith(words.VERDICTS[verdict])]
        assert len(rows) == len(levels)


def test_the_line_leaves_out_what_is_invalid() -> None:
    line = next(path for path in pictures(invalid())[1].iter("path") if path.attrib["class"] == "a")
    assert len(re.findall("[ML]", line.attrib["d"])) == 2


def test_what_was_not_run_is_called_extrapolated() -> None:
    memory = pictures(by_latency())[2]
    assert "extrapolated" in [text.text for text in memory.iter("text")]
    assert [row[0] for row in tables(by_latency())[2]][-1] == "16, not run"
    assert "extrapolated" not in [text.text for text in pictures(by_latency())[5].iter("text")]


def test_timeline_is_that_of_the_confirmation() -> None:
    level = chosen(by_memory())
    assert level
    assert level.confirmation
    assert len(tables(by_memory())[3]) == 1 + len(level.timeline)


def test_a_long_timeline_is_thinned_to_its_worst() -> None:
    level = chosen(hostile())
    assert level
    assert len(level.timeline) == 600
    _, *rows = tables(hostile())[3]
    assert len(rows) == 120
    worst = max(second.age_max_ms or 0 for second in level.timeline[:5])
    assert rows[0][2] == words.milliseconds(worst)


def test_definitions_are_those_of_the_schema() -> None:
    html = render(by_memory())
    words = "The lowest of all shares, which is judged."
    assert re.search(rf"worst_share</strong> </dt>\s*<dd>{words}</dd>", html)


def test_nothing_is_wider_than_the_window(opened: Page) -> None:
    assert_no_wider_than_the_window(opened)


def test_labels_can_be_read(opened: Page) -> None:
    """They are large enough, inside their picture, and none lies over another."""
    for outer, labels in opened.evaluate(LABELS):
        for text, pixels, box in labels:
            assert pixels >= LEAST_PIXELS, text
            assert overlap(outer, box) == box, text
        for (one, _, box), (other, _, next_box) in itertools.combinations(labels, 2):
            left, top, right, bottom = overlap(box, next_box)
            assert left >= right or top >= bottom, f"{one} and {other}"


def overlap(one: Box, other: Box) -> list[float]:
    return [*map(max, one[:2], other[:2]), *map(min, one[2:], other[2:])]


def test_texts_stand_out(opened: Page) -> None:
    assert_texts_stand_out(opened)


def test_page_is_read_without_script(chromium: Browser) -> None:
    page = chromium.new_page(java_script_enabled=False)
    page.set_content(render(by_memory()))
    assert page.locator("h1").inner_text() == "12 sessions hold"
    numbers = page.locator("figure table").first
    assert not numbers.is_visible()
    page.locator("summary").first.click()
    assert numbers.is_visible()
    page.close()


def test_what_others_wrote_is_only_text(chromium: Browser) -> None:
    page = chromium.new_page()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.on("request", lambda request: pytest.fail(request.url))
    page.set_content(render(hostile()))
    assert page.locator("li", has_text="alert(1)").count() > 50
    page.close()


def test_summary_is_short(report: Report) -> None:
    text = markdown(report)
    assert len(text.encode()) < 32_000
    first = re.sub(r"\\(.)", r"\1", text.splitlines()[0])
    assert first == f"## {' '.join(words.headline(report).split())}"
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == (len(report.levels) + 2 if report.levels else 0)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {len(words.HEADERS) + 1}


def test_summary_of_what_others_wrote_is_only_text() -> None:
    text = markdown(hostile())
    assert not re.search(r"(?<!\\)[<>`\[]|\n\| !", text)
    assert "alert(1)" in text


def test_headline_is_how_the_sentence_begins() -> None:
    report = by_latency()
    report.sentence = "6 sessions hold: with 7, session 1 was late, so the limit is latency."
    assert words.headline(report) == "6 sessions hold"
    report.sentence = ""
    assert words.headline(report) == "Limit found"


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (percent(0.9499), "94.9 %"),
        (percent(0.95), "95 %"),
        (percent(1), "100 %"),
        (words.milliseconds(4.26), "4.3 ms"),
        (words.milliseconds(999.4), "999 ms"),
        (words.milliseconds(999.5), "1 s"),
        (size(2**30), "1 GiB"),
        (size(23.46 * 2**30), "23.5 GiB"),
        (size(0), "0 MiB"),
        (size(None), "—"),
        (count(1, "session"), "1 session"),
        (count(0, "session"), "0 sessions"),
    ],
)
def test_words(told: str, text: str) -> None:
    assert told == text
