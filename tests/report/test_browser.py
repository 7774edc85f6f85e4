"""The report in headless Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ramet import report
from tests.frameworks import program
from tests.report.browser import Page, opened
from tests.report.runs import HOSTILE, hostile

pytestmark = pytest.mark.slow

# The middle of the first plot of scores, scrolled to.
SCORES = "[...document.querySelectorAll('figure.plot')].find(f => f.innerText.includes('Scores'))"
VIEW = f"{SCORES}.querySelector('svg').getAttribute('viewBox')"


@pytest.fixture(scope="module")
def shown(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened(program("chromium"), tmp_path_factory.mktemp("profile")) as page:
        page.open(written)
        yield page


def place(page: Page, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Return where a part of the plot of scores is on the screen."""
    page.run(f"{SCORES}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    code = f"{SCORES}.querySelector('.canvas').getBoundingClientRect().toJSON()"
    box = page.run(code)
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_it_opens_without_a_complaint_or_a_request(shown: Page, written: Path) -> None:
    assert shown.run("document.querySelectorAll('figure.plot').length") > 4
    assert shown.complaints == []
    assert shown.requests == [written.as_uri()]


def test_hovering_tells_of_the_nearest_turn(shown: Page) -> None:
    first = (
        f"(() => {{ const figure = {SCORES}; const svg = figure.querySelector('svg');"
        "const told = JSON.parse(figure.querySelector('script').textContent);"
        "const nth = told.x.findIndex((x, i) => x !== null && told.y[i] !== null);"
        "const at = new DOMPoint(told.x[nth], told.y[nth]).matrixTransform(svg.getScreenCTM());"
        "return [at.x, at.y]; })()"
    )
    place(shown)
    x, y = shown.run(first)
    shown.mouse("mouseMoved", x + 2, y)
    tip = shown.run(f"{SCORES}.querySelector('.tip:not([hidden])').innerText")
    assert tip.startswith("member ")
    assert "score " in tip
    assert "lr " in tip
    shown.mouse("mouseMoved", 5, 5)
    assert shown.run(f"{SCORES}.querySelector('.tip').hidden")


def test_hovering_over_the_schedule_tells_of_the_turn_at_that_step(shown: Page) -> None:
    lineage = "document.querySelector('figure.plot')"
    shown.run(f"{lineage}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
    box = shown.run(f"{lineage}.querySelector('.canvas').getBoundingClientRect().toJSON()")
    shown.mouse("mouseMoved", box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.3)
    assert shown.run(f"{lineage}.querySelector('.tip:not([hidden])').innerText").startswith(
        "member"
    )


def test_the_wheel_zooms_a_plot_that_was_clicked_and_leaves_others_to_scroll(shown: Page) -> None:
    whole = shown.run(VIEW)
    x, y = place(shown)
    shown.mouse("mouseWheel", x, y, deltaX=0, deltaY=-1)
    assert shown.run(VIEW) == whole
    x, y = place(shown)
    shown.click(x, y)
    shown.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    zoomed = shown.run(VIEW)
    assert float(zoomed.split()[2]) < float(whole.split()[2])
    shown.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    shown.mouse("mouseMoved", x + 40, y, button="left", buttons=1)
    shown.mouse("mouseReleased", x + 40, y, button="left", clickCount=1)
    assert float(shown.run(VIEW).split()[0]) < float(zoomed.split()[0])
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            shown.mouse(kind, x, y, button="left", clickCount=count)
    assert [float(part) for part in shown.run(VIEW).split()] == [float(p) for p in whole.split()]


def test_the_keyboard_zooms_and_moves_as_well(shown: Page) -> None:
    shown.run(f"{SCORES}.querySelector('.canvas').focus()")
    whole = float(shown.run(VIEW).split()[2])
    shown.key("+")
    before, width = (float(part) for part in shown.run(VIEW).split()[::2])
    assert width < whole
    shown.key("ArrowRight")
    assert float(shown.run(VIEW).split()[0]) > before
    shown.key("Escape")
    assert float(shown.run(VIEW).split()[2]) == whole


def test_on_paper_there_is_nothing_to_press_and_nothing_cut_off(
    shown: Page, tmp_path: Path
) -> None:
    shown.ask("Emulation.setEmulatedMedia", media="print")
    pressed = "[...document.querySelectorAll('button, nav')].filter(b => b.offsetParent !== null)"
    assert shown.run(f"{pressed}.length") == 0
    cut = (
        "[...document.querySelectorAll('.scroll, pre')]"
        ".filter(b => b.scrollHeight > b.clientHeight + 1).length"
    )
    assert shown.run(cut) == 0
    shown.ask("Emulation.setEmulatedMedia", media="")
    shown.printed(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert shown.complaints == []


# Text that is shown smaller than 11 pixels, also within pictures.
SMALL_TEXT = """
[...document.querySelectorAll('body *')].filter(element => {
  const said = [...element.childNodes].some(it => it.nodeType === 3 && it.textContent.trim());
  if (!said || ['SCRIPT', 'STYLE'].includes(element.tagName)) return false;
  const drawn = element.ownerSVGElement;
  const scale = drawn ? drawn.getScreenCTM().a : 1;
  const size = parseFloat(getComputedStyle(element).fontSize) * scale;
  return element.getClientRects().length && size < 10.99;
}).map(element => element.textContent)
"""


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_no_text_is_too_small_and_the_page_does_not_scroll_sideways(
    shown: Page, written: Path, width: int, height: int
) -> None:
    shown.open(written, width=width, height=height)
    assert shown.run(SMALL_TEXT) == []
    assert shown.run("document.documentElement.scrollWidth") == width
    shown.open(written)


def test_the_first_screen_has_the_answer_the_schedule_and_what_to_do_next(
    shown: Page, written: Path
) -> None:
    shown.open(written, width=1280, height=800)
    bottoms = "[...document.querySelectorAll('dl.figures, .glance svg, .next')]"
    ends = shown.run(f"{bottoms}.map(it => it.getBoundingClientRect().bottom)")
    assert len(ends) == 3
    assert max(ends) <= 800
    shown.open(written)


def test_on_a_phone_no_cell_of_a_table_is_cut_off(shown: Page, written: Path) -> None:
    shown.open(written, width=390, height=844)
    cut = (
        "[...document.querySelectorAll('td, dd')].filter(it => it.scrollWidth > it.clientWidth + 1)"
    )
    assert shown.run(f"{cut}.length") == 0
    rights = "[...document.querySelectorAll('td')].map(it => it.getBoundingClientRect().right)"
    assert max(shown.run(rights)) <= 390
    shown.open(written)


def test_it_is_dark_where_that_is_asked_for_and_not_on_paper(shown: Page) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    assert shown.run(colour) == "rgb(255, 255, 255)"
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    shown.ask("Emulation.setEmulatedMedia", features=dark)
    assert shown.run(colour) == "rgb(20, 23, 27)"
    shown.ask("Emulation.setEmulatedMedia", media="print", features=dark)
    assert shown.run(colour) == "rgb(255, 255, 255)"
    shown.ask("Emulation.setEmulatedMedia", media="", features=[])


def test_without_scripts_it_is_whole(shown: Page, written: Path) -> None:
    shown.ask("Emulation.setScriptExecutionDisabled", value=True)
    shown.open(written)
    assert shown.run("document.querySelectorAll('figure svg').length") > 4
    assert shown.run("document.querySelectorAll('button').length") == 0


def test_names_that_are_html_do_nothing(shown: Page, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report.write(hostile(tmp_path / "runs.db"), path)
    shown.ask("Emulation.setScriptExecutionDisabled", value=False)
    shown.events.clear()
    shown.open(path)
    assert shown.run("document.querySelector('h1').innerText") == HOSTILE
    assert shown.complaints == []
    assert shown.requests == [path.as_uri()]
