"""Schedules: made, changed, kept in files and handed to frameworks."""

import contextlib
import itertools
import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramet
from ramet.errors import ScheduleError
from ramet.schedule import Leg, Piece, Schedule, Source


def schedule(*pieces: tuple[int, Any], **more: Any) -> Schedule:
    """Return a schedule of one hyperparameter from where its pieces stop."""
    starts = [0, *(stop for stop, _ in pieces)]
    return Schedule(
        tuple(
            Piece(start=start, stop=stop, hparams={"lr": value})
            for start, (stop, value) in zip(starts, pieces, strict=False)
        ),
        **more,
    )


SOURCE = Source(
    run='the "best" \\ run',
    seed=7,
    mode="min",
    score=0.25,
    turn_steps=10,
    evaluate_every=5,
    legs=(Leg(start=0, stop=10, member=3, turn=0), Leg(start=10, stop=30, member=1, turn=1)),
)
SPACE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0)).describe()
DROPS = schedule((10, 0.4), (30, 0.2), space=SPACE, source=SOURCE)

VALUES = st.floats(1e-3, 1.0)
SCHEDULES = st.lists(st.tuples(st.integers(1, 20), VALUES), min_size=1, max_size=12).map(
    lambda parts: schedule(
        *((sum(n for n, _ in parts[: nth + 1]), value) for nth, (_, value) in enumerate(parts))
    )
)


def test_a_step_has_the_values_of_its_piece_and_the_last_ones_stay() -> None:
    assert [DROPS(step)["lr"] for step in (0, 9, 10, 29, 30, 999)] == [0.4, 0.4, *[0.2] * 4]
    assert (DROPS.steps, DROPS.names, len(DROPS)) == (30, ["lr"], 2)


@pytest.mark.parametrize(
    ("pieces", "law"),
    [
        ([], "at least one piece"),
        ([(1, 5, {"lr": 0.1})], "the first piece of a schedule must start at step 0, but got 1"),
        ([(0, 5, {"lr": 0.1}), (6, 9, {"lr": 0.1})], "stops, at step 5, but starts at 6"),
        ([(0, 5, {"lr": 0.1}), (4, 9, {"lr": 0.1})], "stops, at step 5, but starts at 4"),
        ([(0, 0, {"lr": 0.1})], "steps 0 to 0, must have at least one step"),
        ([(0, 5, {"lr": 0.1}), (5, 9, {"rate": 0.1})], r"\['lr'\], but has \['rate'\]"),
        ([(0, 5, {"lr": math.nan})], "finite numbers, text, booleans or None, but 'lr' is nan"),
    ],
)
def test_pieces_must_say_for_every_step_what_it_is_trained_with(pieces: Any, law: str) -> None:
    with pytest.raises(ScheduleError, match=law):
        Schedule(tuple(Piece(start=a, stop=b, hparams=h) for a, b, h in pieces))


def test_a_schedule_is_the_same_after_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("something else")
    DROPS.save(path)
    assert Schedule.load(path) == DROPS
    assert [file.name for file in tmp_path.iterdir()] == ["s.json"]


@given(SCHEDULES)
def test_code_to_paste_has_the_values_of_every_step(some: Schedule) -> None:
    names: dict[str, Any] = {}
    exec(some.to_python(), names)  # noqa: S102 - what a user does with it
    for step in range(some.steps + 2):
        assert names["schedule"](step) == some(step)


def test_code_to_paste_says_where_it_is_from_and_holds_whatever_values_are() -> None:
    names: dict[str, Any] = {}
    mixed = Schedule((Piece(start=0, stop=3, hparams={"a": None, "b": 'x"""', "c": True}),))
    exec(mixed.to_python(), names)  # noqa: S102 - what a user does with it
    assert names["schedule"](1) == {"a": None, "b": 'x"""', "c": True}
    exec(DROPS.to_python(), names)  # noqa: S102 - the same
    assert "with seed 7, which scored 0.25" in names["schedule"].__doc__


@pytest.mark.parametrize(
    ("edit", "law"),
    [
        (
            lambda d: d.update(version=2),
            "'ramet schedule', version 1, can be read, but .* version 2",
        ),
        (lambda d: d.update(format="x"), "but .* is of 'x', version 1"),
        (lambda d: d.pop("pieces"), "missing required field `pieces`"),
        (lambda d: d["pieces"][1].update(start="ten"), r"expected `int`.*\$.pieces\[1\].start"),
        (lambda d: d["pieces"][1].update(start=11), "at step 10, but starts at 11"),
        (lambda d: d["pieces"][0]["hparams"].update(lr=7.5), "piece 0 .* 'lr' must be in"),
        (lambda d: d["pieces"][0]["hparams"].update(lr=[1]), "got `array`"),
        (lambda d: d["pieces"][0]["hparams"].update(x=1.0), "must have the hyperparameters of"),
        (lambda d: d["pieces"][0].update(colour="red"), "unknown field `colour`"),
        (lambda d: d["space"]["domains"]["lr"].update(low=2.0), "low < high must hold"),
        (lambda d: d["space"]["domains"]["lr"].update(type="Huge"), "described as ramet does"),
        (lambda d: d["source"]["legs"].pop(), "must end where its pieces do, at step 30, but"),
        (lambda d: d["source"]["legs"][1].update(start=9), "at step 10, but starts at 9"),
        (lambda d: d["source"].update(mode="up"), "invalid enum value 'up'"),
        (lambda d: d["source"].update(ready=0), "a seed from 0 on, and turns of some steps"),
        (lambda d: d["source"].update(seed=-1), "a seed from 0 on, and turns of some steps"),
        (lambda d: d["source"]["legs"][0].update(member=-1), "leg 0 of a schedule must have"),
        (lambda d: d["source"]["legs"][1].update(stop=10), "leg 1 of a schedule must have"),
        (lambda d: d["pieces"][0].update(hparams={}), "at least one hyperparameter"),
    ],
)
def test_a_file_edited_into_nonsense_is_refused_with_what_is_wrong(
    edit: Any, law: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.json"
    DROPS.save(path)
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ramet.RametError, match=law):
        Schedule.load(path)


DEEP = b'{"format": "ramet schedule", "version": 1, "pieces": [], "space": {"x": %s%s}}' % (
    b"[" * 5_000,
    b"]" * 5_000,
)


@pytest.mark.parametrize("data", [b"", b"no json", b"[1, 2]", b"\xff\xfe", b'{"pieces": []}', DEEP])
def test_what_is_no_schedule_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(data)
    with pytest.raises(ScheduleError, match="must be a schedule as ramet writes them"):
        Schedule.load(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScheduleError, match=r"in a file that can be read, but .*No such file"):
        Schedule.load(tmp_path / "s.json")


def test_a_file_larger_than_any_schedule_is_refused_before_it_is_read_whole(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.json"
    with path.open("wb") as holes:
        holes.truncate(1 << 30)
    with pytest.raises(ScheduleError, match=r"at most 16,777,216 bytes, .* has more, in .*s\.json"):
        Schedule.load(path)


def test_a_space_larger_than_any_is_refused_before_there_is_memory_for_it(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(DEEP[: DEEP.index(b"[[")] + b'"%s"}}' % (b"x" * (1 << 20)))
    with pytest.raises(ScheduleError, match=r"space of .* at most 1,048,576 bytes as JSON, but"):
        Schedule.load(path)


def filled(template: str, item: str, size: int) -> bytes:
    """Return a document with an item as often as it fits; # in it is a number of its own."""
    count = size // (len(item.replace("#", "000000")) + 1)
    items = (item.replace("#", f"{number:06x}") for number in range(count))
    return template.replace("...", ",".join(items)).encode()


PIECES = '{"format": "ramet schedule", "version": 1, "pieces": [...]}'
NAMES = PIECES.replace("...", '{"start": 0, "stop": 1, "hparams": {...}}')
SPACE_OF_LISTS = NAMES.replace("...", '"a": 1').replace("]}", '], "space": {"x": [...]}}')


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "item", "size_mb"),
    [
        (PIECES, '{"start":0,"stop":1,"hparams":{"a":1}}', 60),
        (NAMES, '"#":1.5', 60),
        # As many as a file may have.
        (NAMES, '"#":1.5', 7),
        (SPACE_OF_LISTS, "[]", 15),
        # Text with one such character takes four bytes for each.
        (NAMES.replace("...", '"a": "\U0001f331..."'), "x" * 1000, 60),
        (NAMES.replace("...", '"a": "\U0001f331..."'), "x" * 1000, 15),
    ],
    ids=["pieces", "names", "names, accepted", "space", "text", "text, accepted"],
)
def test_no_file_takes_200_mb_to_load(
    template: str, item: str, size_mb: int, tmp_path: Path
) -> None:
    path = tmp_path / "s.json"
    path.write_bytes(filled(template, item, size_mb << 20))
    tracemalloc.start()
    try:
        with contextlib.suppress(ScheduleError):
            Schedule.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200e6


def test_a_schedule_too_large_for_a_file_is_refused_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text("something else")
    large = Schedule((Piece(start=0, stop=1, hparams={"text": "x" * (1 << 24)}),))
    with pytest.raises(
        ScheduleError, match=r"at most 16,777,216 bytes, but this one has more; sch"
    ):
        large.save(path)
    assert path.read_text() == "something else"


@pytest.mark.parametrize(
    ("schedule", "law"),
    [
        (
            Schedule((Piece(start=0, stop=1, hparams={"text": "," * 600_001}),)),
            r"at most 600,000 values, but this one has 600,",
        ),
        (
            Schedule(
                (Piece(start=0, stop=1, hparams={"text": "x"}),),
                space=ramet.Space(text=ramet.Choice(["x", "y" * (1 << 20)])).describe(),
            ),
            r"space of a schedule has at most 1,048,576 bytes as JSON, .* with space=None can",
        ),
    ],
)
def test_a_schedule_that_no_file_would_be_read_with_is_not_saved(
    schedule: Schedule, law: str, tmp_path: Path
) -> None:
    with pytest.raises(ScheduleError, match=law):
        schedule.save(tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


LOADS = """
import sys
import tracemalloc
from ramet.schedule import Schedule
from ramet.errors import ScheduleError
try:
    print(Schedule.load(sys.argv[1]).steps)
except ScheduleError as error:
    print(error)
"""


def loaded(path: str | Path, **more: Any) -> str:
    """Load a schedule in another process, because one that waits for ever must be ended."""
    done = subprocess.run(
        [sys.executable, "-c", LOADS, path], capture_output=True, timeout=60, check=True, **more
    )
    return done.stdout.decode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_in_place_of_a_schedule_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.json")
    assert "must be a schedule as ramet writes them" in loaded(tmp_path / "s.json")


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="there is no /dev/stdin")
def test_a_schedule_is_read_from_a_pipe(tmp_path: Path) -> None:
    DROPS.save(tmp_path / "s.json")
    assert loaded("/dev/stdin", input=(tmp_path / "s.json").read_bytes()) == "30\n"


@given(SCHEDULES, st.integers(1, 400))
def test_a_stretched_schedule_has_the_same_values_in_the_same_places(
    some: Schedule, steps: int
) -> None:
    stretched = some.stretch(steps)
    assert stretched.steps == steps
    ratio = some.steps / steps
    for step in range(steps):
        # Ends are rounded to whole steps.
        first, last = math.floor((step - 0.5) * ratio), math.ceil((step + 1.5) * ratio)
        near = {some(max(0, nearby))["lr"] for nearby in range(first, last + 1)}
        assert stretched(step)["lr"] in near
    same = some.stretch(some.steps)
    assert [same(step) for step in range(some.steps)] == [some(step) for step in range(some.steps)]


@given(SCHEDULES, st.integers(1, 12))
def test_a_smoothed_schedule_is_no_further_off_than_it_says(some: Schedule, most: int) -> None:
    smoothed, deviation = some.smooth(most)
    assert len(smoothed) <= most
    assert smoothed.steps == some.steps
    off = [
        abs(smoothed(step)["lr"] - some(step)["lr"]) / some(step)["lr"]
        for step in range(some.steps)
    ]
    assert max(off) == pytest.approx(deviation["lr"])
    low, high = (f(piece.hparams["lr"] for piece in some.pieces) for f in (min, max))
    assert all(low <= piece.hparams["lr"] <= high for piece in smoothed.pieces)
    if most >= len(some):
        assert deviation == {"lr": 0.0}


def test_smoothing_cuts_where_values_change_most() -> None:
    noisy = schedule((10, 0.1), (20, 0.11), (30, 0.09), (40, 0.01), (50, 0.011))
    assert [piece.stop for piece in noisy.smooth(2).schedule.pieces] == [30, 50]
    once = noisy.smooth(1).schedule
    assert once(0)["lr"] == pytest.approx(
        math.exp(sum(math.log(v) for v in (0.1, 0.11, 0.09, 0.01, 0.011)) / 5)
    )


@given(SCHEDULES)
def test_more_pieces_are_never_further_off(some: Schedule) -> None:
    def error(most: int) -> float:
        short = some.smooth(most).schedule
        return sum(
            (math.log(short(step)["lr"]) - math.log(some(step)["lr"])) ** 2
            for step in range(some.steps)
        )

    errors = [error(most) for most in range(1, len(some) + 1)]
    assert all(fewer >= more - 1e-9 for fewer, more in itertools.pairwise(errors))
    assert errors[-1] == pytest.approx(0.0, abs=1e-12)


def test_what_has_no_average_takes_the_value_of_most_steps() -> None:
    kinds = schedule((10, "flip"), (15, "crop"), (30, "flip"))
    smoothed, deviation = kinds.smooth(1)
    assert [piece.hparams for piece in smoothed.pieces] == [{"lr": "flip"}]
    assert deviation == {"lr": pytest.approx(5 / 30)}
    chosen = ramet.Space(lr=ramet.Choice([32, 64, 128], ordered=True)).describe()
    sizes = schedule((10, 32), (15, 128), (30, 32), space=chosen)
    assert sizes.smooth(1).schedule(0) == {"lr": 32}
    whole = schedule((10, 1), (20, 4))
    assert whole.smooth(1).schedule(0) == {"lr": 2}


def test_values_that_compare_equal_are_not_taken_for_one_another() -> None:
    flags = schedule((10, 1), (15, True), (30, 1), (31, 1.0))
    assert [type(h["lr"]) for _, h in flags.stretch(62)] == [int, bool, int, float]
    options = ramet.Space(lr=ramet.Choice([1, True])).describe()
    smoothed, deviation = schedule((10, True), (30, 1), space=options).smooth(1)
    assert type(smoothed(0)["lr"]) is int
    assert deviation == {"lr": pytest.approx(10 / 30)}
    assert len(schedule((10, 0.0), (20, -0.0)).stretch(40)) == 2


def test_a_schedule_that_was_changed_is_no_longer_the_one_its_weights_had() -> None:
    for changed in (DROPS.stretch(60), DROPS.smooth(1).schedule, DROPS.last_values()):
        assert changed.source is not None
        assert (changed.source.run, changed.source.legs) == (SOURCE.run, ())
    assert list(DROPS.last_values()) == [(0, {"lr": 0.2})]
    assert DROPS.last_values().steps == 30


@pytest.mark.parametrize("count", [0, -3, 2.5, True, "4"])
def test_counts_must_be_whole_and_above_zero(count: Any) -> None:
    for change in (DROPS.stretch, DROPS.smooth):
        with pytest.raises(ScheduleError, match="must be a whole number, at least 1"):
            change(count)


def test_rates_are_of_numbers_that_the_schedule_has() -> None:
    with pytest.raises(ScheduleError, match=r"a schedule has \['lr'\], but 'rate' was asked for"):
        DROPS.as_optax("rate")
    with pytest.raises(ScheduleError, match="a rate must be a number, but 'lr' is 'x'"):
        schedule((3, 0.1), (4, "x")).as_optax("lr")


@given(SCHEDULES)
def test_arithmetic_alone_says_the_rate_of_a_step(some: Schedule) -> None:
    rate = some.as_optax("lr")
    assert [rate(step) for step in range(some.steps + 3)] == [
        some(step)["lr"] for step in range(some.steps + 3)
    ]


def test_a_schedule_that_an_earlier_version_saved_is_read_and_saved_alike(tmp_path: Path) -> None:
    found = {"run": "lm", "seed": 1, "mode": "max", "score": 0.5, "ready": 5, "legs": []}
    pieces = [{"start": 0, "stop": 10, "hparams": {"lr": 0.1}}]
    saved = {"format": "ramet schedule", "version": 1, "pieces": pieces, "source": found}
    (tmp_path / "before.json").write_text(json.dumps(saved))
    schedule = Schedule.load(tmp_path / "before.json")
    assert schedule.source is not None
    assert schedule.source.turn_steps == 5
    schedule.save(tmp_path / "after.json")
    assert json.loads((tmp_path / "after.json").read_text())["source"]["ready"] == 5
