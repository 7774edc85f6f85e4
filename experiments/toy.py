"""The figure everyone knows: PBT on two parameters (Jaderberg et al., 2017, figure 2).

    python -m experiments.toy --out toy.png

Draws the four panels (PBT, exploit only, explore only, grid) and prints the final Q of each. Each
panel is one run of two members that start at the same point, each blind to one of the parameters.
Copies move weights only unless --copies says otherwise.
"""

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

import ramet
from ramet.events import Copied, Explored, TurnEnded
from ramet.testing import TOY_SPACE, TOY_START, Drift, Toy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 200
TURN_STEPS = 5
COLOURS = ("#0072b2", "#d55e00")

Copies = Literal["both", "weights", "hparams"]


def strategies(copies: Copies) -> dict[str, ramet.Strategy]:
    """Return the strategy of each panel."""

    def pbt(exploit: ramet.Truncation | None, explore: Drift | None) -> ramet.PBT:
        return ramet.PBT(
            population=2,
            turn_steps=TURN_STEPS,
            exploit=exploit,
            explore=explore,
            copies=copies,
            synchronous=True,
            initial=TOY_START,
        )

    return {
        "PBT": pbt(ramet.Truncation(0.5), Drift()),
        "exploit only": pbt(ramet.Truncation(0.5), None),
        "explore only": pbt(None, Drift()),
        "grid": ramet.Grid(TOY_START, turn_steps=TURN_STEPS, synchronous=True),
    }


def train(strategy: ramet.Strategy, seed: int) -> ramet.Result:
    return ramet.run(
        Toy(),
        TOY_SPACE,
        strategy,
        steps=STEPS,
        mode="max",
        seed=seed,
        engine=ramet.Inline(progress=False),
    )


def final_q(result: ramet.Result) -> float:
    """Return the better of the two members' last scores."""
    return max(member.curve.scores[-1] for member in result.population)


def paths(result: ramet.Result) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Yield the weights behind each stretch of a member: (member, points), broken at copies."""
    start = Toy().init(np.random.default_rng(0))
    at = [start.copy() for _ in TOY_START]
    hparams = [dict(birth.hparams) for birth in result.opening.births]
    left: dict[tuple[int, int], np.ndarray] = {}
    for event in result.events:
        match event:
            case TurnEnded(member=member):
                line = [(member, at[member])]
                for _ in range(event.trained - (event.turn * TURN_STEPS)):
                    at[member] = Toy().step(at[member], hparams[member], 1, np.random.default_rng())
                    line.append((member, at[member]))
                left[member, event.turn] = at[member]
                yield line
            case Copied(member=member, weights=weights):
                if weights is not None:
                    at[member] = left[weights.checkpoint.member, weights.checkpoint.turn]
                hparams[member] = event.hparams or hparams[member]
            case Explored(member=member):
                hparams[member] = event.hparams


def draw_panel(axes: "Axes", name: str, result: ramet.Result) -> None:
    grid = np.linspace(0.0, 1.0, 201)
    x, y = np.meshgrid(grid, grid)
    axes.contour(x, y, 1.2 - (x**2 + y**2), levels=9, colors="0.85", linewidths=0.8, zorder=0)
    for line in paths(result):
        member = line[0][0]
        points = np.array([point for _, point in line])
        axes.plot(points[:, 0], points[:, 1], ".", color=COLOURS[member], markersize=4)
    axes.plot(0.9, 0.9, "o", color="black", markersize=5)
    axes.plot(0, 0, "*", color="black", markersize=9, clip_on=False)
    axes.set(title=f"{name}: Q = {final_q(result):.3f}", xlabel="θ₀", xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")


def draw(results: dict[str, ramet.Result], out: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - an extra, and only the figure needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - as above
    from matplotlib.lines import Line2D  # noqa: PLC0415 - as above

    figure, panels = plt.subplots(1, 4, figsize=(13, 3.6), sharey=True, layout="constrained")
    for axes, (name, result) in zip(panels, results.items(), strict=True):
        draw_panel(axes, name, result)
    panels[0].set_ylabel("θ₁")
    members = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=f"member {member}")
        for member, colour in enumerate(COLOURS)
    ]
    panels[-1].legend(handles=members, loc="lower left", frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out/toy.png"))
    parser.add_argument("--seed", type=int, default=0, help="of the runs that are drawn")
    parser.add_argument("--seeds", type=int, default=20, help="how many the medians are over")
    parser.add_argument("--copies", choices=["both", "weights", "hparams"], default="weights")
    options = parser.parse_args()

    results: dict[str, ramet.Result] = {}
    for name, strategy in strategies(options.copies).items():
        results[name] = train(strategy, options.seed)
        scores = [final_q(train(strategy, seed)) for seed in range(options.seeds)]
        print(
            f"{name:12}  Q = {final_q(results[name]):.4f}   median of {options.seeds} seeds "
            f"{statistics.median(scores):.4f}  (from {min(scores):.4f} to {max(scores):.4f})"
        )
    draw(results, options.out)
    print(f"drawn to {options.out}")


if __name__ == "__main__":
    main()
