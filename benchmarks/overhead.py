"""What ramet itself costs: turns a second, and seconds to the first, with trivial training.

python -m benchmarks.overhead --engine inline --json
"""

import time

import numpy as np

import ramet
from benchmarks.reporting import parser, report

SPACE = ramet.Space(lr=ramet.LogUniform(1e-4, 1.0), momentum=ramet.Uniform(0.0, 0.99))


def measure(*, members: int, turns: int, synchronous: bool) -> dict[str, object]:
    """Run a population whose training is one addition, and time it from the call."""
    first_at: list[float] = []

    def train(member: ramet.Trainee) -> None:
        state = {"w": np.zeros(4), "progress": 0.0}
        for turn in member.turns(state):
            for _ in turn:
                state["progress"] += turn.hparams["lr"] * (1 - turn.hparams["momentum"])
            turn.report(state["progress"])
            if not first_at:
                first_at.append(time.perf_counter())

    strategy = ramet.PBT(population=members, ready=1, synchronous=synchronous)
    began = time.perf_counter()
    result = ramet.run(train, SPACE, strategy, steps=turns // members, seed=0, progress=False)
    elapsed = time.perf_counter() - began
    return {
        "engine": "inline",
        "store": "memory",
        "members": members,
        "synchronous": synchronous,
        "turns": result.population.turns,
        "turns_per_s": result.population.turns / elapsed,
        "first_turn_s": first_at[0] - began,
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--engine", choices=["inline"], default="inline")
    options.add_argument("--members", type=int, default=8)
    options.add_argument("--turns", type=int, default=16_000)
    options.add_argument("--sync", action="store_true", help="only the synchronous mode")
    chosen = options.parse_args()
    figures = measure(members=chosen.members, turns=chosen.turns, synchronous=chosen.sync)
    report(figures, as_json=chosen.json)


if __name__ == "__main__":
    main()
