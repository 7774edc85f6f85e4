"""The first page of results: what was asked and found, and a picture of one experiment.

    python -m experiments.overview

Writes the table of docs/results/README.md and docs/figures/results.svg, from the trials that the
pages have.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from experiments import alternatives, analyses, image
from experiments.trials import Record, summarise
from experiments.trials.page import say, say_p, write_page
from ramet.plots.drawing import save

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
FIGURE = ROOT / "docs" / "figures" / "results.svg"
BLUE, GREY = "#1f5fa8", "#8a8f98"
PROGRAMS = (analyses, image, alternatives)
EXPERIMENTS = {each.name: each for program in PROGRAMS for each in program.EXPERIMENTS}


class Question(NamedTuple):
    """Whether one side of a pair is better than the other."""

    text: str
    experiment: str
    one: str
    other: str
    # Whether more is better.
    higher: bool


QUESTIONS = (
    Question("Is PBT better than random search?", "analyses", "pbt", "random search", higher=False),
    Question(
        "Is it better than copying weights without changing hyperparameters?",
        "analyses",
        "pbt",
        "weights only",
        higher=False,
    ),
    Question(
        "Is the schedule that it found better than its last value, for fresh networks?",
        "analyses",
        "pbt/replay",
        "pbt/last_values",
        higher=False,
    ),
    Question(
        "Is FIRE PBT better than PBT on images, with noisy gradients?",
        "image",
        "fire-22",
        "pbt-22",
        higher=True,
    ),
    Question("The same, with true labels?", "clean", "fire-22", "pbt-22", higher=True),
    Question("The same, with large batches?", "large-batches", "fire-22", "pbt-22", higher=True),
    Question("The same, with 64 hidden units?", "one-layer", "fire-22", "pbt-22", higher=True),
    Question("The same, with convolutions?", "residual", "fire-22", "pbt-22", higher=True),
    Question(
        "Is FIRE PBT better than a random search over a tuned cosine, with noisy gradients?",
        "image",
        "fire-22",
        "random-22",
        higher=True,
    ),
    Question("The same, with true labels?", "clean", "fire-22", "random-22", higher=True),
    Question(
        "Is PBT on averaged weights better than that search, with noisy gradients?",
        "image",
        "pbt-averaged-22",
        "random-22",
        higher=True,
    ),
    Question(
        "With 32 hidden units, is PBT better than a random search with Schedule-Free SGD?",
        "alternatives",
        "pbt",
        "schedule-free",
        higher=True,
    ),
    Question(
        "Is PBT on averaged weights better than that?",
        "alternatives",
        "pbt averaged",
        "schedule-free",
        higher=True,
    ),
    Question(
        "Is PBT better there than one network with the steps of all of its members?",
        "alternatives",
        "pbt",
        "long cosine",
        higher=True,
    ),
)
# The methods of the picture, and how it names them. All train as many steps.
DRAWN = {
    "pbt-averaged-22": "PBT, averaged weights",
    "random-22": "random search, tuned cosine",
    "fire-22": "FIRE PBT",
    "optuna-median": "Optuna, tuned cosine",
    "stable-22": "random search, late decay",
    "schedule-free-22": "Schedule-Free",
    "constant-22": "random search, constant",
    "pbt-22": "PBT",
}


def make_table() -> Iterator[str]:
    """Yield the lines of the table: each question with its figures and its answer."""
    yield "| question | the first | the second | corrected p | answer |"
    yield "|---|---|---|---|---|"
    for asked in QUESTIONS:
        record = read(asked.experiment)
        sides = [_spread(record, asked, side) for side in (asked.one, asked.other)]
        line = _find_line(record, asked)
        answer = _answer(line, asked)
        cells = [asked.text, *sides, say_p(line["corrected_p"]), f"**{answer}**"]
        yield f"| {' | '.join(cells)} |"


def draw(path: Path) -> None:
    """Draw the accuracies of the first experiment on images."""
    record = read("image")
    drawn = Figure(figsize=(8.6, 3.6), layout="constrained")
    axes = drawn.subplots()
    for place, method in enumerate(reversed(DRAWN)):
        found = record.figures(method, "test", record.seeds([method]))
        of_population = method.startswith(("pbt", "fire"))
        colour = BLUE if of_population else GREY
        axes.plot(found, [place] * len(found), "o", color=colour, alpha=0.5, markersize=5)
        axes.plot([fmean(found)], [place], "|", color="black", markersize=16, markeredgewidth=2)
    axes.set_yticks(range(len(DRAWN)), list(reversed(DRAWN.values())))
    axes.set_xlabel("test images that are classified correctly, %: ten seeds, and their mean")
    axes.set_title("Linear network, Fashion-MNIST with 40% drawn labels, equal steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    save(drawn, path)


def read(name: str) -> Record:
    """Return the trials of an experiment that are on record."""
    settings = EXPERIMENTS[name].settings(quick=False)
    return Record(RESULTS / f"{name}.json", experiment=name, settings=settings)


def _find_line(record: Record, asked: Question) -> dict[str, Any]:
    """Return the comparison that answers a question, whichever side is named first."""
    lines = summarise(EXPERIMENTS[asked.experiment], record)
    pair = {asked.one, asked.other}
    return next(line for line in lines if {line["method"], line.get("other")} == pair)


def _answer(line: dict[str, Any], asked: Question) -> str:
    if line["verdict"] == "no difference":
        return "no difference"
    above = (line["difference"] > 0) == (line["method"] == asked.one)
    return "yes" if above == asked.higher else "no"


def _spread(record: Record, asked: Question, side: str) -> str:
    method, _, figure = side.partition("/")
    compared = figure or EXPERIMENTS[asked.experiment].compared
    found = record.figures(method, compared, record.seeds([method]))
    return say(fmean(found), stdev(found))


if __name__ == "__main__":
    write_page("overview", make_table(), RESULTS / "README.md")
    draw(FIGURE)
