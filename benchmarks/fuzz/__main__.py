"""Read damaged and hostile files, again and again, and count what goes wrong.

    python -m benchmarks.fuzz --minutes 10 --json

Each trial makes a file, or some, and looks at them as ramet does. It may raise errors from
``ramet.errors`` and nothing else. Trials run in a process of their own with a limit of memory and,
each, of time. One line is printed for each target. ``crashes`` counts trials that raised another
exception (a MemoryError too) or ended the process, ``hangs`` those that took longer than
``--limit-s``, ``escapes`` those that unpickled, evaluated or started anything, or that touched a
file outside of their folder. ``peak_mb`` is the most memory that the process ever had, the
interpreter included.

Each fault is described on stderr, with the number of its trial. A trial depends on nothing but
``--seed`` and its number, so ``--seed S --first N --trials 1`` runs it again.

The minutes are shared out among the targets. A target is a function in ``targets.py``.
"""

import argparse
import sys
import time

from benchmarks.fuzz.targets import TARGETS
from benchmarks.fuzz.watching import Plan, fuzz
from benchmarks.reporting import parser, report


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)}; all by default")
    made.add_argument("--minutes", type=float, default=1.0, help="in all")
    made.add_argument("--trials", type=int, help="of each target, instead of minutes")
    made.add_argument("--seed", type=int, help="what trials depend on; the time by default")
    made.add_argument("--first", type=int, default=0, help="the number of the first trial")
    made.add_argument("--limit-s", type=float, default=10.0, help="seconds for one trial")
    return made


def main() -> None:
    asked = options()
    chosen = asked.parse_args()
    if unknown := set(chosen.targets) - set(TARGETS):
        asked.error(f"targets must be some of {', '.join(TARGETS)}, but got {sorted(unknown)}")
    targets = chosen.targets or list(TARGETS)
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", file=sys.stderr)
    plan = Plan(
        seed=seed,
        first=chosen.first,
        trials=chosen.trials,
        seconds=None if chosen.trials else 60 * chosen.minutes / len(targets),
        limit_s=chosen.limit_s,
    )
    tallies = [fuzz(name, TARGETS[name], plan) for name in targets]
    for tally in tallies:
        report(tally.figures(), as_json=chosen.json)
    sys.exit(any(tally.faults for tally in tallies))


if __name__ == "__main__":
    main()
