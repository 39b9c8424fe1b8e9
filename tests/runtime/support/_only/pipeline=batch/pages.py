"""Pages of reports, as Chromium shows them."""

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

type Scheme = Literal["light", "dark"]

NO_CHROMIUM = "NO CHROMIUM WAS FOUND: no page was opened"
WIDTHS = (390, 1280)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LEAST_CONTRAST = 4.5
LOADING = {"script", "link", "img", "image", "iframe", "object", "use"}
# Of each text that is shown: itself, its colour, and the colour of what it stands on.
COLOURS = """() => [...document.querySelectorAll("main *")]
  .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .filter(each => each.getClientRects().length)
  .map(each => {
    let under = each
    while (getComputedStyle(under).backgroundColor === "rgba(0, 0, 0, 0)")
      under = under.parentElement
    const style = getComputedStyle(each)
    const colour = each.localName === "text" ? style.fill : style.color
    return [each.textContent, colour, getComputedStyle(under).backgroundColor]
  })"""


class Elements(HTMLParser):
    """What the page consists of; AssertionError when an element isn't closed where it should."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def loading_nothing(html: str) -> Elements:
    """AssertionError if the page has a script, or needs anything of the network to be shown."""
    elements = Elements(html)
    assert elements.names.isdisjoint(LOADING)
    assert not [name for name in elements.attributes if name == "src" or name[:2] == "on"]
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"https?:|url\(|@import|@font-face", style)
    return elements


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Without it tests are skipped, but where everything has to be there they fail."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("BYOC_REQUIRE_DOCKER", "0") != "0":
            pytest.fail(NO_CHROMIUM, pytrace=False)
        pytest.skip(NO_CHROMIUM)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])


@contextmanager
def opened_page(chromium: Browser, html: str, width: int, scheme: Scheme) -> Iterator[Page]:
    """In a window as wide as a telephone, or a screen, with all that is folded open."""
    size: ViewportSize = {"width": width, "height": 844}
    page = chromium.new_page(viewport=size, color_scheme=scheme)
    page.set_content(html.replace("<details>", "<details open>"))
    yield page
    page.close()


def each_of[R](reports: Mapping[str, Callable[[], R]]) -> Any:
    """A fixture: one report after the other."""

    @pytest.fixture(params=reports)
    def report(request: pytest.FixtureRequest) -> R:
        return reports[request.param]()

    return report


def each_opened[R](reports: Mapping[str, Callable[[], R]], render: Callable[[R], str]) -> Any:
    """A fixture: the page of one report after the other, in every width and scheme."""

    @pytest.fixture(
        scope="module",
        params=itertools.product(reports, WIDTHS, SCHEMES),
        ids=lambda parts: "-".join(map(str, parts)),
    )
    def opened(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
        name, width, scheme = request.param
        with opened_page(chromium, render(reports[name]()), width, scheme) as page:
            yield page

    return opened


def assert_no_wider_than_the_window(page: Page) -> None:
    size = page.viewport_size
    assert size
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def assert_texts_stand_out(page: Page) -> None:
    for text, colour, under in page.evaluate(COLOURS):
        darker, lighter = sorted(map(luminance, (colour, under)))
        assert (lighter + 0.05) / (darker + 0.05) >= LEAST_CONTRAST, text


def luminance(colour: str) -> float:
    """By WCAG 2, of `rgb(26, 28, 33)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
