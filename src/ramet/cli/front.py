"""`ramet front`: the turns that no other dominates, in a run with several objectives."""

from typing import Any

from ramet import wording
from ramet.cli import screen
from ramet.cli.reading import without_log
from ramet.cli.stores import AsJson, RunName, StoreName
from ramet.goals import metrics_of
from ramet.history import Result, Snapshot
from ramet.visible import label


def front(store: StoreName, name: RunName = None, *, as_json: AsJson = False) -> None:
    """Show the front of a run with several objectives, the best score first.

    These are the turns that no other dominates: none is at least as good in every objective, and
    better in one. Turns beyond a bound of the run do not count. The checkpoints of these turns are
    kept: result.front() loads them.
    """
    with without_log(store, name) as result:
        found = result.front()
        if as_json:
            for each in found:
                screen.say_json({"run": result.opening.name, **_as_json(each)})
            return
        screen.say(_heading(result, len(found)))
        metrics = metrics_of(result.opening.goals)
        names = result.opening.space["names"]
        table = screen.table("score", *metrics, "member", "turn", "step", *names)
        for each in found:
            table.add_row(
                wording.number(each.score),
                *(wording.number(each.metrics[name]) for name in metrics),
                each.member,
                each.checkpoint.turn,
                f"{each.step:,}",
                *(wording.value_of(each.hparams, name) for name in names),
            )
        screen.show(table)


def _heading(result: Result, count: int) -> str:
    turns = wording.count(result.population.turns, "turn")
    are = "is" if count == 1 else "are"
    return f"{label(result.opening.name)}: {count:,} of {turns} {are} on the front\n"


def _as_json(each: Snapshot) -> dict[str, Any]:
    return {
        "score": each.score,
        "metrics": each.metrics,
        "member": each.member,
        "turn": each.checkpoint.turn,
        "step": each.step,
        "trained": each.trained,
        "hparams": each.hparams,
        "checkpoint": each.checkpoint.key,
    }
