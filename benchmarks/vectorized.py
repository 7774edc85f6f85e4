"""How many steps a second a population takes as one program.

    python -m benchmarks.vectorized --members 1 8 32 128 --json

``member_steps_per_s`` counts the steps of all members. ``vs_one`` is against one member alone in
the same framework, and ``vs_processes`` against as many members in a worker process for each core.
All are whole runs, checkpoints in a file and all, timed from the end of the third round on, so
that compiling and measuring are not in it; what is said is the median of several, each beside one
member. ``outside_share`` is the part of a vectorised run's time in which no program of the
framework runs. What is done while one runs, such as writing the last round, is not in it.
"""

import operator
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ramet
from benchmarks.nets import NETS, SPACE, InJax, InTorch
from benchmarks.reporting import parser, report
from ramet.events import RoundEnded

# A framework and a network.
Shape = tuple[str, str]

# Steps in a turn: of a few hundredths of a second for one member, of a tenth or two in PyTorch.
TURN_STEPS = {("jax", "mlp"): 2_000, ("torch", "mlp"): 500}
TURN_STEPS_CONV = 20
# Rounds that are not timed, the last of them the first that is trained while one is written; and
# the least number of rounds that are.
WARM, ROUNDS = 3, 4
# Steps of all members that are timed at least: a few seconds.
TIMED = {("jax", "mlp"): 100_000, ("torch", "mlp"): 6_000}
TIMED_CONV = 1_200
# How often all is timed; what counts is the median.
TIMES = 4


def make_task(framework: str, net: str) -> Any:
    if framework == "jax":
        import ramet.jax  # noqa: PLC0415 - each framework only where it is measured

        return ramet.jax.Task(InJax(net))
    import torch  # noqa: PLC0415 - as above

    import ramet.torch  # noqa: PLC0415 - as above

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return ramet.torch.Task(InTorch(net, device))


def device(framework: str) -> str:
    if framework == "jax":
        import jax  # noqa: PLC0415 - as above

        return str(jax.devices()[0].device_kind)
    import torch  # noqa: PLC0415 - as above

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


class Timed:
    """A task that notes when its program was at work."""

    def __init__(self, timed: Any) -> None:
        self._task = timed
        self._watcher = ThreadPoolExecutor(1)
        self.spans: list[tuple[float, float]] = []

    def program(self, space: ramet.Space, **settings: Any) -> Any:
        program = self._task.program(space, **settings)
        stretch = program.stretch

        def noting(*args: Any) -> Any:
            began = time.time()
            states, scores = stretch(*args)
            # A GPU may still be at work, and what runs here goes on meanwhile.
            self._watcher.submit(self._note, began, scores)
            return states, scores

        program.stretch = noting
        return program

    def _note(self, began: float, scores: Any) -> None:
        # Scores depend on all that was computed, and reading them waits for it.
        scores.tolist()
        self.spans.append((began, time.time()))

    def steady(self) -> tuple[float, float]:
        """Return the seconds of a round, and the part of it in which no program runs.

        Rounds of one stretch each are counted from the end of the training of one to that of the
        next: the log of a round is written while the next one is trained.
        """
        self._watcher.shutdown()
        _, began = self.spans[WARM - 1]
        _, ended = self.spans[-1]
        timed = self.spans[WARM:]
        inside_s = sum(end - begin for begin, end in timed)
        return (ended - began) / len(timed), 1 - inside_s / (ended - began)

    def __call__(self, session: ramet.Session) -> None:
        self._task(session)


def rate_together(
    task: Any, shape: Shape, members: int, *, least_rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the steps a second of all members as one program, and ``outside_share``."""
    timed = Timed(task)
    engine = ramet.Vectorized(progress=False)
    rate(timed, shape, members, engine, least_rounds=least_rounds)
    round_s, outside = timed.steady()
    return members * TURN_STEPS.get(shape, TURN_STEPS_CONV) / round_s, outside


def rate(
    task: Any,
    shape: Shape,
    members: int,
    engine: ramet.Engine | None = None,
    *,
    least_rounds: int = ROUNDS,
) -> float:
    """Return the steps a second of a run that writes a round before it trains the next."""
    turn_steps = TURN_STEPS.get(shape, TURN_STEPS_CONV)
    rounds = max(least_rounds, -(-TIMED.get(shape, TIMED_CONV) // (members * turn_steps)))
    strategy: ramet.Strategy = ramet.RandomSearch(
        population=members, turn_steps=turn_steps, synchronous=True
    )
    if members >= 5:  # noqa: PLR2004 - the fewest that truncation takes
        strategy = ramet.PBT(population=members, turn_steps=turn_steps, synchronous=True)
    with tempfile.TemporaryDirectory() as folder:
        result = ramet.run(
            task,
            SPACE,
            strategy,
            steps=turn_steps * (WARM + rounds),
            mode="max",
            seed=0,
            store=ramet.Storage(Path(folder) / "runs.db", durability="process"),
            engine=engine or ramet.Inline(progress=False),
        )
    ends = [logged.at for logged in result.log if isinstance(logged.event, RoundEnded)]
    return members * turn_steps * rounds / (ends[-1] - ends[WARM - 1])


def measured(framework: str, net: str, members: int, times: int = TIMES) -> dict[str, Any]:
    shape = framework, net
    ones, rates, shares = [], [], []

    def one() -> None:
        ones.append(rate(make_task(framework, net), shape, 1))

    def together() -> None:
        vectorized, outside = rate_together(make_task(framework, net), shape, members)
        rates.append(vectorized)
        shares.append(outside)

    # Beside each other, because a machine is not always as fast; and now this first, now that.
    for nth in range(times):
        for measure in (one, together) if nth % 2 else (together, one):
            measure()
    processes = rate(
        make_task(framework, net),
        shape,
        members,
        ramet.Processes(os.cpu_count() or 1, progress=False),
    )
    vectorized = statistics.median(rates)
    return {
        "framework": framework,
        "net": net,
        "members": members,
        "device": device(framework),
        "member_steps_per_s": vectorized,
        "vs_one": statistics.median(map(operator.truediv, rates, ones)),
        "vs_processes": vectorized / processes,
        "outside_share": statistics.median(shares),
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--members", type=int, nargs="+", default=[1, 8, 32, 128])
    options.add_argument("--frameworks", nargs="+", default=["jax", "torch"])
    options.add_argument("--nets", nargs="+", choices=NETS, default=NETS[:2])
    options.add_argument("--times", type=int, default=TIMES, help="how often all is timed")
    chosen = options.parse_args()
    for framework in chosen.frameworks:
        for net in [net for net in chosen.nets if (framework, net) != ("torch", "grouped")]:
            for members in chosen.members:
                report(measured(framework, net, members, chosen.times), as_json=chosen.json)


if __name__ == "__main__":
    main()
