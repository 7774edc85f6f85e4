"""What to do next: commands that work as they are printed, in the folder of the store."""

from collections.abc import Iterator
from typing import TypeAlias

from ramet.history import Snapshot
from ramet.report.html import Content, Markup, code, join, note, tag
from ramet.report.subject import SCRIPT, Subject
from ramet.strategies.controlled import find_control

# What to do, with its command; "" if there is none, or if the run is in memory.
Step: TypeAlias = tuple[Content, str]


def next_steps(subject: Subject) -> Markup:
    """Return what to do next, by how the run stands."""
    steps = list(_steps(subject))
    if not steps:
        return join([])
    items = [
        tag("li", said, *([code(command, label="Command")] if command else []))
        for said, command in steps
    ]
    where = note("Commands are for a shell in the folder of ", tag("code", subject.file), ".")
    return tag(
        "div",
        tag("h3", "What to do next"),
        tag("ol", *items),
        where if subject.file else None,
        class_="next",
    )


def _steps(subject: Subject) -> Iterator[Step]:
    yield from _go_on(subject)
    if subject.state in {"running", "stopping"}:
        return
    if subject.population.failures and not subject.failing:
        link = tag("a", "Failures", href="#failures")
        yield join(["Some attempts failed: ", link, " says why."]), ""
    if subject.schedule is None:
        return
    keep = _command(subject, "schedule", "-o", "schedule.json")
    yield "Keep the schedule.", keep or 'result.schedule().save("schedule.json")'
    if not subject.replays:
        yield _replay(subject)
    if find_control(subject.opening) is None and len(subject.population) > 1:
        yield _control(subject.result.best)


def _go_on(subject: Subject) -> Iterator[Step]:
    """Yield what to do about a run that is not over."""
    match subject.state:
        case "running" | "stopping":
            said = "Follow it, and write this report again later."
            yield said, _command(subject, "status", "--watch")
        case "stopped" | "idle" if subject.failing:
            said = (
                "Correct the code, and repeat the call or command that began the run: it goes on "
                "where it stopped. All that failed, with tracebacks:"
            )
            yield said, _command(subject, "log", "--failures")
        case "stopped" | "idle":
            said = "To go on, repeat the call or command that began it. How it stands:"
            yield said, _command(subject, "status")


def _replay(subject: Subject) -> Step:
    command = _command(subject, "replay", SCRIPT, "--seeds", "5")
    said = (
        "Not replayed yet. To find out whether the schedule is good or one network was lucky, "
        "train fresh networks with it"
    )
    if not command:
        return f"{said}.", "ramet.replay(train, result.schedule())"
    script = tag("code", SCRIPT)
    return join([f"{said}. Put the path of your script in place of ", script, "."]), command


def _control(best: Snapshot) -> Step:
    said = "To see what the same steps give without copies, begin the next run with "
    call = tag("code", f"strategy=ramet.Controlled(strategy, {best.hparams!r})")
    last = (
        ". These values are the last ones of the best weights: put in their place those that you "
        "would have used without a search."
    )
    return join([said, call, last]), ""


def _command(subject: Subject, *words: str) -> str:
    return subject.command(*words) if subject.file else ""
