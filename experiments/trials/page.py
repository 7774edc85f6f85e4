"""The tables of an experiment's page, written from its record: no figure is without its trials."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.trials.experiment import Experiment, summarise
from experiments.trials.record import Record
from ramet.wording import mean_and_spread

# Decimals of figures and of p.
DIGITS, P_DIGITS = 4, 3


def write_page(name: str, tables: Iterable[str], page: Path) -> None:
    """Put the tables of an experiment between the marks in a page.

    Args:
        name: The experiment's name.
        tables: Their lines.
        page: A page with a line ``<!-- NAME -->`` before the tables and ``<!-- end -->`` behind.
    """
    text = page.read_text()
    before, mark, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->\n")
    if not mark or not end:
        raise SystemExit(f"{page} has no lines '<!-- {name} -->' and '<!-- end -->'")
    lines = "\n".join(tables)
    page.write_text(f"{before}{mark}{lines}\n{end}{after}")


def make_tables(experiment: Experiment, record: Record) -> Iterator[str]:
    """Yield the lines of the tables: what each method came to, and how methods compare."""
    lines = summarise(experiment, record)
    methods = [line for line in lines if "verdict" not in line]
    yield f"Means and standard deviations over {methods[0]['seeds']} seeds:"
    yield ""
    yield from _row(["method", *experiment.headings.values()])
    yield "|" + "---|" * (1 + len(experiment.headings))
    for line in methods:
        spreads = [say(line[name], line[f"{name}_sd"]) for name in experiment.headings]
        yield from _row([line["method"], *spreads])
    yield ""
    compared = experiment.headings[experiment.compared]
    yield f"Differences of the {compared}; p of the paired t-test, and after Holm's correction:"
    yield ""
    yield from _row(["method", "beside", "difference", "p", "corrected", "verdict"])
    yield "|" + "---|" * 6
    for line in lines:
        if "verdict" in line:
            ps = [say_p(line["p"]), say_p(line["corrected_p"])]
            difference = f"{line['difference']:+.{DIGITS}g}"
            yield from _row([line["method"], line["other"], difference, *ps, line["verdict"]])


def _row(cells: list[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"


def say(mean: float, deviation: float) -> str:
    """Return a mean with its deviation, which has two digits.

    >>> say(0.031234, 0.00491), say(85.237, 1.23)
    ('0.0312 ± 0.0049', '85.2 ± 1.2')
    """
    return mean_and_spread(mean, deviation) if deviation > 0 else f"{mean:.{DIGITS}g}"


def say_p(p: float) -> str:
    """Return a p-value, or below what it is."""
    least = 10.0**-P_DIGITS
    return f"< {least:g}" if p < least else f"{p:.{P_DIGITS}f}"
