"""``ramet.confirm``: the best turns of a run are evaluated again before one is called best."""

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence

from ramet.engine.evaluating import Evaluate, Evaluates, as_function
from ramet.engine.interrupting import explain_interrupt, hide_frames
from ramet.engine.processes.loading import end_loading
from ramet.engine.run import run_events
from ramet.engine.run.scores import as_number, require_score
from ramet.engine.training import this_worker
from ramet.errors import LogMoved, NoBest, RunNotFound, UsageError
from ramet.events import Confirmed, Confirming
from ramet.faults import reach
from ramet.history.confirming import Ranked, rank
from ramet.history.following import Follower
from ramet.history.reported import maximise_candidates, maximise_score
from ramet.history.result import Result
from ramet.history.states import UNREADABLE, find_damage, read_state
from ramet.laws import MOST_CANDIDATES, MOST_TIMES
from ramet.places import writable
from ramet.population import Candidate, Checkpoint, Confirmation
from ramet.randomness import Purpose, generator
from ramet.state.tree import Tree, thaw
from ramet.store.base import Closable

logger = logging.getLogger("ramet")


def confirm(
    evaluate: Evaluate | Evaluates, result: Result, *, top: int = 5, times: int = 4
) -> Result:
    """When a run is over, evaluate its best turns again; return the result with the fresh scores.

    In the returned result, ``best`` is the turn with the best mean of fresh scores. Each score is
    recorded at once: if a call is killed, the same call goes on from there, and evaluates nothing
    twice. If several processes make the call, each score is recorded once.

    Args:
        evaluate: A function of a state, as ``result.best.load()`` returns it, and a random
            generator, or a task. It returns a score like those of the turns. A task's ``evaluate``
            gets the state only, so it must find fresh data by itself.
        result: The result of a run, from ``ramet.run`` or ``ramet.history.load``.
        top: How many turns to evaluate again. They are the turns with the best scores, among those
            with checkpoints that the run keeps.
        times: How often to evaluate each.
    """
    end_loading()
    score, name = as_function(evaluate)
    _check_count("top", top, most=MOST_CANDIDATES)
    _check_count("times", times, most=MOST_TIMES)
    _check_result(result)
    store, run = writable(result.store), result.opening.name
    try:
        log = Follower(store, run)
        # As it is now, which the result may not be.
        now = Result(store=store, blobs=result.blobs, name=run)
        _check_same(result, now)
        log.catch_up()
        _check_over(log)
        _check_goals(log)
        with explain_interrupt(lambda: _how_to_go_on(run, log)):
            _Confirming(now, log).go_on(score, top=top, times=times)
        confirmed = Result(store=result.store, blobs=result.blobs, name=run)
    except KeyboardInterrupt as stopped:
        hide_frames(stopped)
        raise
    finally:
        if store is not result.store and isinstance(store, Closable):
            store.close()
    _check_draws(confirmed, name)
    return confirmed


class _Confirming:
    """Evaluates turns of one run again."""

    def __init__(self, result: Result, log: Follower) -> None:
        self._result, self._log = result, log
        self._store, self._blobs = result.store, result.blobs
        self._opening, self._worker = log.opening, this_worker()
        # The candidates that were said to be all there are.
        self._said: Sequence[Candidate] = ()

    def go_on(self, score: Evaluate, *, top: int, times: int) -> None:
        """Evaluate what is missing, one after the other, in the order of the candidates."""
        while (plan := self._plan(top=top, times=times)) is not None:
            self._log.check_run()
            # If the log has moved, the plan is made anew: the new event may be a turn.
            with contextlib.suppress(LogMoved):
                self._store.append(
                    self._opening.name, plan, worker=self._worker, after=self._log.replica.last
                )
            self._log.catch_up()
        self._say_more(top=top, times=times)
        held: tuple[Checkpoint, Tree] | None = None
        while (due := self._find_missing()) is not None:
            kept, repeat = due
            if held is None or held[0] != kept:
                held = kept, self._read(kept)
            key = kept.member, kept.turn, repeat
            rng = generator(self._opening.seed, Purpose.CONFIRM, *key)
            value = as_number(require_score(score(thaw(held[1]), rng), "what evaluates"))
            finite = value if math.isfinite(value) else None
            reach("evaluated")
            event = Confirmed(
                member=kept.member,
                turn=kept.turn,
                repeat=repeat,
                score=maximise_score(finite, self._opening.mode),
            )
            run_events.append(self._store, self._log, event, worker=self._worker)
            reach("recorded")

    def _plan(self, *, top: int, times: int) -> Confirming | None:
        """Return which turns to evaluate how often, as an event; None if it is on record."""
        known = self._log.replica.confirmation
        if self._log.replica.turns != self._result.population.turns:
            raise self._went_on()
        if known is not None:
            if len(known.candidates) >= top and known.times >= times:
                return None
            # What was begun, by another process too, is not taken back.
            top, times = max(top, len(known.candidates)), max(times, known.times)
        candidates = maximise_candidates(self._choose(top, known), self._opening.mode)
        event = Confirming(candidates=candidates, times=times)
        return event if run_events.would_change(event, self._log.replica) else None

    def _choose(self, top: int, known: Confirmation | None) -> list[Candidate]:
        """Return the best turns that have readable weights; say how many better ones do not."""
        ranked = rank(self._result.population, self._result.lineage())
        begun = {it.checkpoint for it in known.candidates} if known else set()
        found = [it for it in ranked.kept if it.checkpoint in begun]
        for candidate in ranked.kept:
            if len(found) == top:
                break
            if candidate.checkpoint in begun:
                continue
            damage = find_damage(self._blobs, self._opening.name, candidate.checkpoint)
            if damage is None:
                found.append(candidate)
            else:
                logger.warning("a turn is not evaluated again: %s", damage)
        if not found:
            raise NoBest(
                f"to confirm a run needs a turn that ended with a finite score, and with weights "
                f"that are kept, but run {self._opening.name!r} has none"
            )
        if found != self._said:
            self._say_missing(found, ranked, top)
            self._said = found
        return found

    def _say_missing(self, found: Sequence[Candidate], ranked: Ranked, top: int) -> None:
        """Say how many better turns are not kept; warn if fewer are left than were asked for."""
        few = len(found) < top
        lacking = ranked.lost if few else ranked.lacking[ranked.kept.index(found[-1])]
        places = ", ".join(f"{it.checkpoint.member}.{it.checkpoint.turn}" for it in found)
        fields = {
            "run": self._opening.name,
            "turns": len(found),
            "top": top,
            "which": places,
            "lacking": lacking,
            "keep": self._opening.keep,
        }
        logger.log(
            logging.WARNING if few else logging.INFO,
            "%(top)d turns of run %(run)r were to be evaluated again, and %(turns)d are, as "
            "member.turn: %(which)s. The run does not keep the weights of %(lacking)d others that "
            "would come into question (keep=%(keep)r); with keep='all' it keeps all",
            fields,
            extra=fields,
        )

    def _say_more(self, *, top: int, times: int) -> None:
        """Warn if an earlier call began more than was asked for now, because that goes on."""
        now = self._log.replica.confirmation
        if now is None or now.complete or (len(now.candidates) <= top and now.times <= times):
            return
        fields = {
            "run": self._opening.name,
            "turns": len(now.candidates),
            "each": now.times,
            "top": top,
            "times": times,
        }
        logger.warning(
            "another call began to evaluate %(turns)d turns of run %(run)r again, %(each)d times "
            "each: this call goes on until all of that is done, though it asks for top=%(top)d and "
            "times=%(times)d only",
            fields,
            extra=fields,
        )

    def _find_missing(self) -> tuple[Checkpoint, int] | None:
        """Return the next evaluation that is missing, if one is."""
        now = self._log.replica.confirmation
        if now is None:
            raise self._went_on()
        return next(_find_due(now), None)

    def _read(self, kept: Checkpoint) -> Tree:
        """Return the state of a candidate, which only a turn that ended meanwhile can replace."""
        try:
            return read_state(self._blobs, self._opening.name, kept)
        except UNREADABLE as error:
            self._log.catch_up()
            if self._log.replica.confirmation is None:
                raise self._went_on() from error
            raise

    def _went_on(self) -> UsageError:
        return UsageError(
            f"a run that is confirmed must stay over, but run {self._opening.name!r} went on "
            f"meanwhile, and a new turn may be better; confirm it again once it is over"
        )


def _find_due(now: Confirmation) -> Iterator[tuple[Checkpoint, int]]:
    for candidate in now.candidates:
        if len(candidate.fresh) < now.times:
            yield candidate.checkpoint, len(candidate.fresh)


def _how_to_go_on(run: str, log: Follower) -> str:
    """Return what an interrupt says about a run that is not confirmed yet."""
    now = log.replica.confirmation
    if now is None:
        return f"run {run!r} was stopped before it was confirmed; to go on, run the same again"
    ended, planned = sum(len(it.fresh) for it in now.candidates), len(now.candidates) * now.times
    return (
        f"the confirmation of run {run!r} was stopped after {ended:,} of {planned:,} evaluations, "
        f"and none that ended is lost; to go on, run the same again"
    )


def _check_count(name: str, count: object, *, most: int) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= most:
        raise UsageError(f"{name} must be a whole number from 1 to {most:,}, but got {count!r}")


def _check_result(result: object) -> None:
    if not isinstance(result, Result):
        raise UsageError(
            f"what is confirmed must be the result of a run, but got {result!r}; pass what "
            f"ramet.run returned, or ramet.history.load('runs.db', 'name')"
        )


def _check_same(result: Result, now: Result) -> None:
    """Refuse the result of a run that another of its name has overwritten since."""
    if result.log[0] != now.log[0]:
        raise RunNotFound(
            f"the result must be of the run that is in the store, but run {now.opening.name!r} has "
            f"been overwritten since it was read (existing='overwrite'); read it again with "
            f"ramet.history.load to confirm the new run"
        )


def _check_goals(log: Follower) -> None:
    if goals := log.opening.goals:
        raise UsageError(
            f"ramet.confirm chooses by the score alone, but run {log.opening.name!r} has several "
            f"objectives, {[goal.name for goal in goals]}; evaluate the snapshots of "
            f"result.front() again yourself"
        )


def _check_over(log: Follower) -> None:
    if not log.replica.over:
        raise UsageError(
            f"only a run that is over can be confirmed, because a later turn may be better, but "
            f"run {log.opening.name!r} goes on; train it to its end, or stop it"
        )


def _check_draws(result: Result, name: str) -> None:
    """Warn if all evaluations of the same weights gave the same score."""
    now = result.population.confirmation
    if now is None or now.times == 1:
        return
    if all(it.fresh[0] is not None and len(set(it.fresh)) == 1 for it in now.candidates):
        fields = {"run": result.opening.name, "evaluate": name, "times": now.times}
        logger.warning(
            "fresh evaluations must draw at random, but %(evaluate)s gave the same score all "
            "%(times)d times for the same weights: run %(run)r is confirmed by nothing new. Give "
            "ramet.confirm a function of a state and a generator that measures on fresh data or "
            "episodes; if scores are exact, there is nothing to confirm",
            fields,
            extra=fields,
        )
