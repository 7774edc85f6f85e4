"""What logging costs: a call in a loop, the end of a turn, and the log that others read.

    python -m benchmarks.metrics --json
    python -m benchmarks.metrics --metrics 64 --json

``us_a_step`` is what ``turn.log`` adds to a step, with ``--metrics`` numbers of Python at once.
``us_a_turn`` is what keeping them adds to the turn's end, where each has as many points as are
kept. Of the event that holds them, ``bytes_a_turn`` is the size, and ``us_to_write`` and
``us_to_read`` are what it costs beyond one without metrics: to write once, and to read for each
worker.
"""

import time
from collections.abc import Callable

import ramet
from benchmarks.reporting import parser, report
from ramet.engine.run.metrics import MOST_POINTS
from ramet.events import TurnEnded, decode, encode

# Repetitions, of which the fastest counts.
REPEATS = 7
STEPS = 20_000


def best_us(function: Callable[[], object], times: int) -> float:
    """Return the microseconds that a call takes."""

    def once() -> float:
        began = time.perf_counter()
        for _ in range(times):
            function()
        return (time.perf_counter() - began) / times * 1e6

    return min(once() for _ in range(REPEATS))


def measure(metrics: int) -> dict[str, float]:
    numbers = {f"loss{nth}": 0.5 for nth in range(metrics)}
    run = ramet.open(
        space=ramet.Space(lr=ramet.Uniform(0.0, 1.0)),
        strategy=ramet.PBT(population=5, turn_steps=10**9),
        steps=10**9,
        mode="max",
        seed=0,
    )
    turns = [turn for turn in (run.ask(), run.ask(), run.ask()) if turn is not None]
    bare, logging, full = map(iter, turns)

    def step_and_log() -> None:
        next(logging)
        turns[1].log(**numbers)

    added = best_us(step_and_log, STEPS) - best_us(lambda: next(bare), STEPS)
    for _ in range(MOST_POINTS):
        next(full)
        turns[2].log(**numbers)
    ended = [
        TurnEnded(
            member=0, turn=0, trained=1, step=1, points=((1, 0.5),), digest="0" * 32, metrics=kept
        )
        for kept in ((), turns[2].metrics())
    ]
    without, with_ = map(encode, ended)
    figures = {
        "metrics": metrics,
        "us_a_step": added,
        "us_a_turn": best_us(turns[2].metrics, 100),
        "bytes_a_turn": len(with_) - len(without),
        "us_to_write": best_us(lambda: encode(ended[1]), 500)
        - best_us(lambda: encode(ended[0]), 500),
        "us_to_read": best_us(lambda: decode(with_), 500) - best_us(lambda: decode(without), 500),
    }
    run.release_all()
    return figures


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--metrics", type=int, default=3, help="numbers logged at each step")
    chosen = options.parse_args()
    report(measure(chosen.metrics), as_json=chosen.json)


if __name__ == "__main__":
    main()
