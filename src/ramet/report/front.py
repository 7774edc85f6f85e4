"""The front of a run with several objectives: a picture and a table."""

from ramet import wording
from ramet.errors import NoBest
from ramet.goals import metrics_of
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, code, join, note, table, tag
from ramet.report.subject import Subject


def section(subject: Subject, figures: Figures) -> Markup:
    """Return the turns that no other dominates."""
    result = subject.result
    if not result.population.turns:
        return tag("p", "No turn has ended yet.", class_="missing")
    try:
        found = result.front()
    except NoBest as error:
        return join([tag("p", f"{error}.", class_="missing"), figures.front()])
    metrics, names = metrics_of(result.opening.goals), subject.names
    columns = [Column(name) for name in ("score", *metrics, "member", "turn", "step", *names)]
    rows: list[list[Content]] = [
        [
            wording.number(each.score),
            *(wording.number(each.metrics[name]) for name in metrics),
            each.member,
            each.checkpoint.turn,
            f"{each.step:,}",
            *(wording.value_of(each.hparams, name) for name in names),
        ]
        for each in found
    ]
    said = note(
        "No other turn is at least as good as one of these in every objective, and better in one. "
        "Turns beyond a bound do not count."
    )
    opened = "" if subject.file is None else f"import ramet\n\nresult = {subject.opened}\n"
    loaded = f"{opened}state = result.front()[0].load()  # the one in the first row\n"
    label = "How to load one of them"
    return join(
        [said, figures.front(), table(columns, rows, "The front"), code(loaded, label=label)]
    )
