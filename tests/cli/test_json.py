"""What commands print with --json has one shape."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.shell import QUICK, ramet
from tests.cli.test_look import RUN

FIGURES = RUN[:-1]
SHAPES: dict[tuple[object, ...], list[str]] = {
    ("runs",): FIGURES,
    ("run", QUICK, "--name", "one", "--store"): FIGURES,
    ("begin", QUICK, "--name", "one", "--store"): FIGURES,
    ("stop", "one"): FIGURES,
    ("worker", "one", QUICK): FIGURES,
    ("status", "one"): RUN,
    ("replay", "one", QUICK, "--seeds", 2): [*FIGURES, "of", "scores", "mean", "sd", "original"],
    ("schedule", "one"): ["run", "member", "start", "stop", "hparams"],
    ("lineage", "one"): ["run", "member", "turn", "start", "stop", "edge", "score", "hparams"],
    ("prune", "one", "--dry-run"): ["run", "files", "bytes", "dry_run"],
    ("report", "one", "-o", "report.html"): ["run", "path", "bytes"],
    ("backup", "copy.db"): ["run", "path", "runs", "files", "bytes"],
    ("rename", "one", "new"): ["run", "was", "files"],
    ("delete", "one", "--yes"): ["run", "files", "bytes"],
}


@pytest.mark.parametrize("words", SHAPES, ids=lambda words: words[0])
def test_each_line_is_an_object_that_begins_with_its_run(
    two: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...]
) -> None:
    monkeypatch.chdir(two.parent)
    command, *rest = words
    store_last = rest[-1:] == ["--store"]
    done = ramet(command, *([*rest, two] if store_last else [two, *rest]), "--json")
    assert done.exit_code == 0, done.output
    objects = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert objects
    for each in objects:
        assert list(each) == SHAPES[words]
        assert all(
            name in {"hparams", "metrics"} or not isinstance(its, dict)
            for name, its in each.items()
        )


def test_a_replay_says_what_its_sentence_says(two: Path) -> None:
    words: tuple[Any, ...] = ("replay", two, "one", QUICK, "--seeds", 1)
    said = msgspec.json.decode(ramet(*words, "--json").stdout)
    assert (said["run"], said["of"], said["sd"]) == ("one-replay", "one", None)
    assert math.isclose(said["mean"], said["scores"][0])
    assert f"{said['mean']:.6g}" in ramet(*words).stdout
