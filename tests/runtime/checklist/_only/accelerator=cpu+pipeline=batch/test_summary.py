"""The report as Markdown and as JSON, and what it comes to in a sentence."""

import json
import re

import jsonschema_rs
import pytest

from checklist import words
from checklist.report import Report
from checklist.summary import markdown
from pages import each_of
from reports import HOSTILE, REPORTS, failures, finding, hostile, passed
from reports import report as make
from terminals import without_terminal

MOST_BYTES = 2**20  # that GitHub takes
ROW = re.compile(r"(?<!\\)\|")

report = each_of(REPORTS)


@pytest.mark.parametrize(
    ("name", "headline", "sentence"),
    [
        (
            "passed",
            "Passed",
            "9 passed, 1 skipped: the container passes what could be tested of the production "
            "checklist.",
        ),
        (
            "failures",
            "2 items failed",
            "4 passed, 2 failed, 2 blocked, 1 skipped, 1 not tested: the container does not pass "
            "the production checklist, because of ready, sigterm.",
        ),
        (
            "not_tested",
            "1 item could not be tested",
            "5 passed, 1 blocked, 1 not tested: it is not known whether the container passes the "
            "quick checklist, because of sigterm.",
        ),
        ("skipped", "Nothing was tested", "4 skipped: nothing was tested."),
        ("unfinished", "Not finished", "1 passed: the production checklist is not finished."),
        ("empty", "Not finished", "Nothing yet: the production checklist is not finished."),
        (
            "hostile",
            "12 items failed",
            "12 passed, 12 failed, 12 blocked, 12 skipped, 12 not tested: the container does not "
            "pass the production checklist, because of item-1, item-6, item-11, item-16, item-21, "
            "item-26, item-31, item-36, item-41, item-46, item-51, item-56.",
        ),
    ],
)
def test_headline_and_sentence(name: str, headline: str, sentence: str) -> None:
    report = REPORTS[name]()
    assert (words.headline(report), report.sentence) == (headline, sentence)


def test_what_was_asked_for_is_told() -> None:
    part = make(finding(2, "passed", "it serves"), only=["ready"])
    assert part.sentence == "1 passed: the container passes what was asked for."
    assert "Full; only ready." in markdown(part)


def test_report_is_what_the_schema_says(report: Report) -> None:
    code, schema = without_terminal("-m", "checklist", "--schema")
    assert code == 0
    jsonschema_rs.validator_for(json.loads(schema)).validate(json.loads(report.model_dump_json()))
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_each_item_has_a_row(report: Report) -> None:
    text = markdown(report)
    assert text.splitlines()[0] == f"## Production checklist: {words.headline(report)}"
    rows = [ROW.split(line) for line in text.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} <= {6}
    heads = [row[1].strip("* ") for row in rows if row[2:5] == [" ", " ", " "]]
    assert heads == list(dict.fromkeys(item.group for item in report.items))
    marks = [row[2].strip() for row in rows[2:] if row[2].strip()]
    assert marks == [words.MARKS[item.verdict] for item in report.items]


def test_what_failed_has_what_to_do() -> None:
    text = markdown(failures())
    told = "- **SIGTERM loses nothing** (sigterm): 2 of 2 sessions lost their last 7 frames"
    assert told in text
    do = "  - What to do: report `loading` with status 503 until `load` has returned. "
    assert text.count(do + "See <https://docs.livepeer.org/orchestrators>.") == 3
    assert "What to do" not in markdown(passed())


def test_what_others_wrote_is_only_text() -> None:
    text = re.sub(r"`(loading|load|/health)`|<https://docs[^>]*>", "", markdown(hostile()))
    assert not re.search(r"(?<!\\)[<>`\[]|\n\| !", text)
    assert "alert(1)" in text


@pytest.mark.parametrize("sign", [HOSTILE, "`|", "\U0001f600", "é\n"])
def test_it_is_short_whatever_the_report_holds(sign: str) -> None:
    """Whole lines, and what is left out is said."""
    long = (sign * 1000)[:1000]
    texts = dict.fromkeys(("id", "group", "title", "proves", "why", "link", "fix"), long)
    text = markdown(make(*(finding(n % 9, "failed", long, **texts) for n in range(200))))
    assert len(text.encode()) < MOST_BYTES
    assert text.endswith((" |\n", "\n\nThe rest is in report.html.\n"))
