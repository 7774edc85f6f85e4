"""What ran: the line at the top, and all settings."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ramet import wording
from ramet.plots import story
from ramet.report.html import Column, Content, Markup, code, facts, note, table, tag
from ramet.report.subject import Subject, describe, moment
from ramet.space import Space
from ramet.strategies.controlled import deciding, find_control


def heading(subject: Subject) -> Markup:
    """Return the run's name, what it is, and how it stands."""
    population, opening = subject.population, subject.opening
    is_controlled = find_control(opening) is not None
    members = wording.count(len(population) - is_controlled, "member")
    lead = (
        f"{deciding(opening.strategy).get('type', 'A strategy')} on "
        f"{members}{' and a control' if is_controlled else ''}, "
        f"{wording.count(population.steps, 'step')} each"
    )
    state, more = _state(subject)
    return tag(
        "header",
        tag("p", "Report of a population based training run", class_="kicker"),
        tag("h1", subject.name),
        tag("p", lead, " · ", tag("strong", state, class_=subject.state), more, class_="lead"),
    )


def what_ran(subject: Subject) -> Markup:
    """Return the settings of the run, and the domains of its hyperparameters."""
    opening, population = subject.opening, subject.population
    pairs: list[tuple[str, Content]] = [
        ("Members", f"{len(population):,}{_groups(subject)}"),
        ("Steps each", f"{population.steps:,}, in turns of {opening.turn_steps:,}"),
        ("Turns, copies", f"{population.turns:,} turns ended, {population.copies:,} copies"),
        ("Scores", f"{subject.better} (mode={opening.mode!r})"),
        ("Seed", str(opening.seed)),
        ("Decisions", _decisions(subject)),
        ("Began", moment(subject.began)),
        ("Recorded in", _record(subject)),
    ]
    return tag(
        "div",
        facts(pairs),
        code(describe(opening.strategy), label="Strategy"),
        _space(opening.space),
        *_between(opening.space),
        *_where(opening.space),
    )


def _state(subject: Subject) -> tuple[str, str]:
    part = f"{subject.done:.0%} of all steps are used"
    match subject.state:
        case "done":
            return "done", ""
        case "running":
            return "going on", f", {part}"
        case "stopping":
            return "stopping", f", {part}; the last turns are being trained"
        case "stopped" if subject.population.why_stopped == "target":
            return "at its target", f", {part}; the call that began it goes on with another target"
        case "stopped":
            return "stopped", f", {part}; the call that began it goes on with it"
        case _:
            return "not over", f", {part}, and no worker is training"


def _groups(subject: Subject) -> str:
    sizes = Counter(birth.group for birth in subject.opening.births)
    if len(sizes) == 1:
        return ""
    names = story.groups_of(subject.result)
    return f" ({', '.join(_say_group(names[group], sizes[group]) for group in sorted(sizes))})"


def _say_group(name: str, size: int) -> str:
    match name:
        case story.EVALUATORS:
            return wording.count(size, "evaluator")
        case story.CONTROL:
            return wording.count(size, "control")
        case "members":
            return f"{size} that decide"
        case _:
            return f"{size} in {name}"


def _decisions(subject: Subject) -> str:
    if subject.opening.synchronous:
        ended = wording.count(subject.population.round, "round")
        return f"synchronous: members decide together, {ended} over"
    return "asynchronous: each member decides when its turn ends"


def _record(subject: Subject) -> Content:
    return tag("code", subject.file) if subject.file else "no file that stays"


def _space(space: dict[str, Any]) -> Markup:
    """Return each hyperparameter's domain, where it starts and how it is explored."""
    domains = {name: space["domains"][name] for name in space["names"]}
    more = [key for key in _MORE if any(domain.get(key) is not None for domain in domains.values())]
    columns = [Column("hyperparameter", left=True), Column("may be", left=True)]
    rows: list[list[Content]] = [
        [tag("code", name), _range(domain), *(_MORE[key][1](domain.get(key)) for key in more)]
        for name, domain in domains.items()
    ]
    named = [Column(_MORE[key][0], left=True) for key in more]
    if when := Space.from_description(space).conditions:
        named.append(Column("is there when", left=True))
        for row, name in zip(rows, domains, strict=True):
            row.append(" and ".join(map(str, when[name])) if name in when else "always")
    return table([*columns, *named], rows, "Hyperparameters")


def _start(bounds: Any) -> Content:
    return None if bounds is None else f"{describe(bounds[0])} to {describe(bounds[1])}"


def _explore(rule: Any) -> Content:
    return "as the strategy says" if rule is None else tag("code", describe(rule))


_MORE: dict[str, tuple[str, Callable[[Any], Content]]] = {
    "start": ("begins within", _start),
    "explore": ("explores", _explore),
}


def _range(domain: dict[str, Any]) -> str:
    match domain:
        case {"type": "Constant", "value": value}:
            return f"always {describe(value)}"
        case {"type": "Choice", "options": options}:
            ordered = ", in this order" if domain.get("ordered") else ""
            return ", ".join(map(describe, options)) + ordered
        case {"type": "Integer", "low": low, "high": high}:
            scale = ", on a log scale" if domain.get("log") else ""
            return f"whole numbers from {describe(low)} to {describe(high)}{scale}"
        case {"type": "LogUniform", "low": low, "high": high}:
            return f"{describe(low)} to {describe(high)}, on a log scale"
        case {"low": low, "high": high}:
            return f"{describe(low)} to {describe(high)}"
        case _:
            return describe(domain)


def _between(space: dict[str, Any]) -> list[Markup]:
    """Return what values keep to together."""
    whole = Space.from_description(space)
    said = [note(str(limit), ".") for limit in whole.declared.limits]
    together = [
        note("Move together: ", tag("code", ", ".join(names)), ".") for names in whole.together
    ]
    return [*said, *together]


def _where(space: dict[str, Any]) -> list[Markup]:
    predicates = [describe(predicate) for _, predicate in space.get("where", [])]
    if not predicates:
        return []
    return [note("Combinations are rejected by ", tag("code", ", ".join(predicates)), ".")]
