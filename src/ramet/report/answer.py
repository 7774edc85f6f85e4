"""The answer: the best score, the member that reached it, and how well it replays."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ramet import wording
from ramet.history import Replayed, Snapshot
from ramet.history.confirming import FreshScores, say_both
from ramet.history.doubts import find_doubts
from ramet.history.keeping import find_files
from ramet.history.verdict import Verdict
from ramet.report import failures
from ramet.report.figures import Figures
from ramet.report.html import Column, Content, Markup, code, facts, join, note, table, tag
from ramet.report.next_steps import next_steps
from ramet.report.subject import Subject
from ramet.schedule.pieces import same_pieces


def answer(subject: Subject, figures: Figures) -> Markup:
    """Return the best of a run, its schedule, and what to do next; or why there is none yet."""
    best = subject.best
    if best is None:
        return join(
            [
                tag("p", why_none(subject), class_="missing"),
                failures.last(subject),
                next_steps(subject),
            ]
        )
    doubts = [
        note(tag("strong", "Doubtful: "), f"{doubt}.") for doubt in find_doubts(subject.result)
    ]
    found = [_figures(subject, best), *doubts, *_say_confirmed(best), *_verdict(subject)]
    parts = [
        failures.last(subject) if subject.failing else None,
        tag("div", tag("div", *found), figures.glance(), next_steps(subject), class_="first"),
        _weights(subject, best),
        *_replays(subject, best),
    ]
    return join(parts)


def why_none(subject: Subject) -> str:
    """Say why a run has no best score, and so no schedule."""
    population = subject.population
    if population.turns and population.goals:
        ended = wording.count(population.turns, "turn")
        return (
            f"{ended} ended, none of them with finite values within the bounds of the run: there "
            f"is no best and no schedule."
        )
    failed = wording.count(population.failures, "attempt")
    if population.turns:
        ended = wording.count(population.turns, "turn")
        return f"{ended} ended, none of them with a finite score: there is no best and no schedule."
    if population.failures:
        return f"No turn has ended, and {failed} failed: there is no best, and no schedule."
    return (
        "No turn has ended yet: there is no best, and no schedule. Write the report again later to "
        "see them."
    )


def _figures(subject: Subject, best: Snapshot) -> Markup:
    """Return the main figures, in large type."""
    final = subject.final
    reached, name = wording.number(best.score), "best score"
    if subject.start is not None:
        reached = f"{wording.number(_round(subject.start, 3))} → {reached}"
        name = "first → best score of the best weights"
    figures = [
        (f"{name}, {subject.better}", reached),
        *_beside(subject),
        *([("on fresh evaluations", _say_mean(best.confirmed))] if best.confirmed else []),
        (f"at step, by member {best.member}", f"{best.step:,}"),
        ("best at the end", wording.number(final.score if final else None)),
        ("the run took", wording.duration(subject.worked_s)),
    ]
    return tag(
        "dl",
        *(tag("div", tag("dd", said), tag("dt", name)) for name, said in figures),
        class_="figures",
    )


def _beside(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield what others reached with as many steps: the control, and replays of the schedule."""
    if isinstance(subject.verdict, Verdict):
        # One score of the best may be luck: both are means.
        last = wording.count(subject.verdict.turns, "turn")
        yield f"best member, mean of its last {last}", wording.number(subject.verdict.found)
        yield (
            "control, which copied nothing, the same mean",
            wording.number(subject.verdict.control),
        )
    for one in subject.replays:
        if is_replay_of(subject, one) and one.done:
            count = wording.count(len(one.result.population), "fresh network")
            name = f"mean ± sd of {count}" if math.isfinite(one.sd) else count
            yield f"{name}, replayed", one.summary


def _round(score: float, digits: int) -> float:
    """Return a score with fewer digits; wording writes it without an exponent where it can."""
    return float(f"{score:.{digits}g}")


def is_replay_of(subject: Subject, replayed: Replayed) -> bool:
    """Return whether a replay is of the schedule of the best weights."""
    schedule = subject.schedule
    return schedule is not None and same_pieces(replayed.schedule.pieces, schedule.pieces)


def _say_mean(fresh: FreshScores) -> str:
    return wording.mean_and_spread(fresh.mean, fresh.spread)


def _say_confirmed(best: Snapshot) -> Iterator[Markup]:
    """Yield both scores of the best, if it was evaluated again."""
    if best.confirmed is not None:
        yield note(tag("strong", "Confirmed: "), f"{say_both(best.score, best.confirmed)}.")


def _verdict(subject: Subject) -> Iterator[Markup]:
    """Yield whether the search was worth it, if the run has a control that shows it."""
    if subject.verdict is not None:
        yield note(tag("strong", "Against the control: "), f"{subject.verdict}.")


def _say_values(hparams: Mapping[str, Any]) -> Markup:
    """Return hyperparameters with their values, each of which stays in one piece."""
    parts: list[Content] = []
    for name, it in hparams.items():
        before = ", " if parts else ""
        parts += [f"{before}{name}=", tag("span", wording.value(it), class_="whole")]
    return join(parts)


def _weights(subject: Subject, best: Snapshot) -> Markup:
    kept = best.checkpoint
    [key] = find_files([kept], subject.sizes)
    size = subject.sizes.get(key)
    there = "no longer kept" if size is None else wording.size(size)
    place = f" (row {kept.row} of this file, {there})" if key == kept.stack else f", {there}"
    said = facts(
        [
            ("Its checkpoint", join([tag("code", key), place])),
            ("Trained last with", _say_values(best.hparams)),
            *_end(subject, best),
        ]
    )
    if subject.file is None:
        loaded = "state = result.best.load()  # in the process that trained it\n"
    else:
        loaded = (
            "import ramet\n\n"
            f"result = {subject.opened}\n"
            "state = result.best.load()  # weights and all, as the training code saved it\n"
        )
    return join([said, code(loaded, label="How to load the best weights")])


def _end(subject: Subject, best: Snapshot) -> Iterator[tuple[str, Content]]:
    """Yield the best member at the end, if that is not the best of the whole run."""
    final = subject.final
    if final is None or final.checkpoint == best.checkpoint:
        return
    said = (
        f"member {final.member}, at step {final.step:,}. Where scores are noisy, the best of the "
        f"whole run is often a lucky measurement. To load this one instead: "
    )
    yield "Best at the end", join([said, tag("code", "result.final.load()")])


def _replays(subject: Subject, best: Snapshot) -> Iterator[Markup]:
    if not subject.replays:
        return
    columns = [Column("trained again", left=True), Column("seeds"), Column("mean ± sd")]
    first: list[Content] = ["the original", "", wording.number(best.score)]
    rows = [first, *([_kind(subject, one), *_scores(one)] for one in subject.replays)]
    yield tag("h3", "Replayed")
    yield table(columns, rows, "Replays")
    yield from _worth(subject)


def _worth(subject: Subject) -> Iterator[Markup]:
    """Yield what the schedule is worth beside its last values alone, if both were replayed."""
    fresh = [
        one
        for one in subject.replays
        if one.done and math.isfinite(one.sd) and not _has_same_draws(one)
    ]
    whole = [one for one in fresh if is_replay_of(subject, one)]
    constant = [one for one in fresh if one not in whole and _is_of_last_values(subject, one)]
    if not whole or not constant:
        return
    one, other = (max(each, key=lambda it: len(it.scores)) for each in (whole, constant))
    ahead = subject.sign * (one.mean - other.mean)
    by = f"{wording.number(_round(abs(ahead), 2))} {'better' if ahead > 0 else 'worse'} than"
    said = f"With the whole schedule, networks are {by if ahead else 'as good as'} with its last"
    less = ", which is less than the networks of one replay differ by"
    yield note(f"{said} values alone{less if 0 < abs(ahead) < max(one.sd, other.sd) else ''}.")


def _has_same_draws(replayed: Replayed) -> bool:
    """Say whether a replay repeats the random draws of the run, and so its luck."""
    return bool(replayed.result.opening.strategy.get("legs"))


def _is_of_last_values(subject: Subject, replayed: Replayed) -> bool:
    schedule = subject.schedule
    return schedule is not None and same_pieces(
        replayed.schedule.pieces, schedule.last_values().pieces
    )


def _kind(subject: Subject, replayed: Replayed) -> Content:
    """Return what was replayed."""
    if is_replay_of(subject, replayed):
        exact = ", with the same random draws" if _has_same_draws(replayed) else ""
        kind = f"this schedule{exact}"
    elif _is_of_last_values(subject, replayed):
        kind = "its last values, as constants"
    else:
        kind = "another schedule"
    return join([kind, " (", tag("code", replayed.result.opening.name), ")"])


def _scores(replayed: Replayed) -> list[Content]:
    return [replayed.seeds, replayed.summary if replayed.done else "not over"]
