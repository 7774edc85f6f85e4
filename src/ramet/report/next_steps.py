"""What to do next: commands that work as they are printed, in the folder of the store."""

from collections.abc import Iterator

from ramet.report.html import Content, Markup, code, join, note, tag
from ramet.report.subject import SCRIPT, Subject
from ramet.strategies.controlled import find_control


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


def _steps(subject: Subject) -> Iterator[tuple[Content, str]]:
    """Yield what to do, each with its command; without one if the run is in memory."""
    match subject.state:
        case "running" | "stopping":
            yield (
                "Follow it, and write this report again later.",
                _command(subject, "status", "--watch"),
            )
            return
        case "stopped" | "idle" if subject.failing:
            yield (
                (
                    "Correct the code, and repeat the call or command that began the run: it goes "
                    "on where it stopped. All that failed, with tracebacks:"
                ),
                _command(subject, "log", "--failures"),
            )
        case "stopped" | "idle":
            yield (
                "To go on, repeat the call or command that began it. How it stands:",
                _command(subject, "status"),
            )
    if subject.population.failures and not subject.failing:
        link = tag("a", "Failures", href="#failures")
        yield join(["Some attempts failed: ", link, " says why."]), ""
    if subject.schedule is None:
        return
    yield (
        "Keep the schedule.",
        _command(subject, "schedule", "-o", "schedule.json")
        or ('result.schedule().save("schedule.json")'),
    )
    if not subject.replays:
        said: Content = (
            "Not replayed yet. To find out whether the schedule is good or one network was lucky, "
            "train fresh networks with it"
        )
        script = join([". Put the path of your script in place of ", tag("code", SCRIPT), "."])
        command = _command(subject, "replay", SCRIPT, "--seeds", "5")
        yield (
            join([said, script if command else "."]),
            (command or "ramet.replay(train, result.schedule())"),
        )
    if find_control(subject.opening) is None and len(subject.population) > 1:
        link = tag("code", "strategy=ramet.Controlled(strategy, {…})")
        yield (
            join(
                [
                    "To see what the same steps give without copies, begin the next run with ",
                    link,
                    ".",
                ]
            ),
            "",
        )


def _command(subject: Subject, *words: str) -> str:
    return subject.command(*words) if subject.file else ""
