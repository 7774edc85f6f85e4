"""The page: one file that needs no other, and no network."""

import base64
import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files

from ramet import wording
from ramet.history import Result
from ramet.plots.drawing import check
from ramet.report import (
    answer,
    changes,
    expenses,
    failures,
    front,
    heading,
    population,
    schedule,
)
from ramet.report.figures import Figures
from ramet.report.html import Markup, join, note, tag
from ramet.report.styles import Styles
from ramet.report.subject import Subject, moment

_BESIDE = files("ramet.report")


def page(result: Result) -> str:
    """Return a report of a run as HTML; the run may still be going on.

    Args:
        result: The run.
    """
    check(result)
    return _write(Subject(result))


def _write(subject: Subject) -> str:
    result = subject.result
    figures = Figures(subject)
    sections = [
        ("The answer", answer.answer(subject, figures)),
        *([("The front", front.section(subject, figures))] if result.opening.goals else []),
        ("What ran", heading.what_ran(subject)),
        ("The schedule", schedule.section(subject, figures)),
        ("What mattered", changes.importance(subject, figures)),
        ("Where weights came from", population.tree(subject, figures)),
        ("Scores", population.scores(subject, figures)),
        *([("Metrics", population.metrics(subject, figures))] if subject.metrics else []),
        ("Hyperparameters", population.hyperparameters(subject, figures)),
        ("Failures", failures.section(subject)),
        ("Time and disk", expenses.section(subject, figures)),
    ]
    body = [
        heading.heading(subject),
        _contents(name for name, _ in sections),
        tag(
            "main",
            *(tag("section", tag("h2", name), it, id=_place(name)) for name, it in sections),
        ),
        tag("footer", _footer(subject)),
        figures.table(),
    ]
    return _document(f"{subject.name}: report", join(body), figures.styles)


def _contents(sections: Iterable[str]) -> Markup:
    links = (tag("a", name, href=f"#{_place(name)}") for name in sections)
    return tag("nav", *links, aria_label="Sections")


def _place(section: str) -> str:
    """Return the anchor of a section."""
    return section.partition(",")[0].lower().replace(" ", "-")


def _footer(subject: Subject) -> Markup:
    events = wording.count(subject.result.account.events, "event")
    return note(
        f"Written by ramet {version('ramet')} from the run's log: {events}, the last one at "
        f"{moment(subject.last)}."
    )


def _document(title: str, body: Markup, styles: Styles) -> str:
    style, script = (
        _BESIDE.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js")
    )
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The page fetches nothing and runs no other script, whatever the names in a run contain.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{own}'"
    )
    head = [
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        tag("style", Markup(f"{style}{styles.rules()}")),
    ]
    inner = join([tag("head", *head), tag("body", body, tag("script", Markup(script)))])
    return f"<!doctype html>\n{tag('html', inner, lang='en')}\n"
