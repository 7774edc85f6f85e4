"""What the report answers first: whether it worked, and what to do next."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import ramet
from ramet import report
from ramet.errors import RunFailed
from ramet.history import load
from ramet.history.importance import Importance
from ramet.history.replayed import replays
from ramet.report.subject import Subject
from tests.cli import quick
from tests.cli.shell import QUICK
from tests.cli.shell import ramet as shell
from tests.engine.loops import Descent, pbt
from tests.report.reading import Read
from tests.report.runs import Failing, finished, going_on

ONE = ramet.Space(lr=ramet.LogUniform(1e-3, 1.0))


class OneRate(Descent):
    """The same, with one hyperparameter."""

    def step(self, state: Any, hparams: Any, steps: int, rng: Any) -> Any:
        return super().step(state, {"lr": hparams["lr"], "decay": 0.0}, steps, rng)


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> ramet.Result:
    strategy = ramet.Controlled(pbt(synchronous=True, evaluate_every=2), {"lr": 0.01, "decay": 0.0})
    store = tmp_path_factory.mktemp("controlled") / "runs.db"
    return finished(strategy=strategy, store=store)


def test_the_score_is_shown_from_the_start_to_the_best(result: ramet.Result, page: str) -> None:
    behind = result.lineage().behind(result.best.checkpoint)
    start = behind[0].points[0][1]
    assert (
        f"{start:.3g} → {result.best.score:.6g}first → best score of the best weights"
        in Read(page).text
    )


def test_the_control_and_replays_stand_beside_the_best(
    controlled: ramet.Result, result: ramet.Result, page: str
) -> None:
    text = Read(report.page(controlled)).text
    verdict = controlled.verdict()
    # Both are means, because one score of the best may be luck.
    assert f"{verdict.found:.6g}best member, mean of its last {verdict.turns} turns" in text
    assert f"{verdict.control:.6g}control, which copied nothing" in text
    assert "PBT on 6 members and a control" in text
    (replayed,) = replays(result)
    assert f"{replayed.summary}mean ± sd of 3 fresh networks, replayed" in Read(page).text
    assert "control, which" not in Read(page).text


def test_members_and_their_control_are_called_so(controlled: ramet.Result) -> None:
    text = Read(report.page(controlled)).text
    assert "evaluator" not in text
    assert "control" in text


def test_what_to_do_next_depends_on_how_the_run_stands(
    page: str, result: ramet.Result, controlled: ramet.Result, tmp_path: Path
) -> None:
    going = Read(report.page(going_on(tmp_path / "runs.db", turns=3).result())).text
    assert "ramet status runs.db bowl --watch" in going
    assert "Not replayed yet" not in going
    assert "Not replayed yet" not in Read(page).text
    done = Read(report.page(controlled)).text
    assert "Not replayed yet" in done
    assert "ramet.Controlled(strategy" not in done
    assert f"strategy=ramet.Controlled(strategy, {result.best.hparams!r})" in Read(page).text


def test_the_commands_work_as_printed(
    controlled: ramet.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Read(report.page(controlled)).text
    command = "ramet schedule runs.db bowl -o schedule.json"
    assert command in text
    store = controlled.store.path
    monkeypatch.chdir(store.parent)
    assert shell(*command.split()[1:]).exit_code == 0
    assert (store.parent / "schedule.json").exists()


@pytest.mark.parametrize("name", ["-b", "--watch", 'it\'s a "run" $HOME'])
def test_commands_work_for_runs_whose_names_a_shell_or_an_option_could_be(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"space": quick.space, "strategy": quick.strategy, "steps": quick.steps}
    finished(quick.train, name=name, store=tmp_path / "-runs.db", **settings)
    monkeypatch.chdir(tmp_path)
    subject = Subject(load(tmp_path / "-runs.db", name))
    for words in (("schedule", "-o", "schedule.json"), ("status",), ("log", "--last", "3")):
        done = shell(*shlex.split(subject.command(*words))[1:])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "schedule.json").exists()
    replay = shlex.split(subject.command("replay", str(QUICK), "--seeds", "1"))
    done = shell(*replay[1:])
    assert done.exit_code == 0, done.output


def test_a_failed_run_says_to_correct_the_code_and_where_the_tracebacks_are(tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        finished(
            Failing(), store=tmp_path / "runs.db", space=ramet.Space(lr=ramet.LogUniform(0.1, 1.0))
        )
    text = Read(report.page(load(tmp_path / "runs.db", "bowl"))).text
    assert "Correct the code" in text
    assert "ramet log runs.db bowl --failures" in text


def test_members_side_by_side_are_left_out_with_one_hyperparameter(page: str) -> None:
    alone = Read(report.page(finished(OneRate(), space=ONE))).text
    assert "one line each, through its values" not in alone
    assert "one line each, through its values" in Read(page).text


def test_importance_is_drawn_where_there_is_enough_to_compare() -> None:
    enough = Read(report.page(finished(strategy=pbt(population=16, synchronous=True)))).text
    assert "How much of the differences in later rank" in enough
    few = Read(report.page(finished(strategy=pbt(population=3, exploit=None)))).text
    assert "Too few members went on from the same weights" in few


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (["yes", "none found", "yes"], "More than chance explains, these mattered: a, c."),
        (["too few lines", "none found", "too few lines"], "None of those that could be compared"),
    ],
)
def test_what_mattered_is_said_in_a_sentence(
    found: list[Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [
        Importance(name, "changes", 0.2, 0.1, 0.3, 0.01, its, lines=40)
        for name, its in zip("abc", found, strict=True)
    ]
    monkeypatch.setattr("ramet.report.changes.measure_once", lambda _: measured)
    assert said in Read(report.page(finished(strategy=pbt(population=16)))).text


def test_a_better_score_within_a_turn_is_explained() -> None:
    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for step in turn:
                high = turn.member == 1 and step % 2 == 0
                turn.report(9.0 if high else turn.hparams["lr"])

    strategy = ramet.PBT(population=4, turn_steps=2, evaluate_every=1, exploit=None)
    result = ramet.run(train, ONE, strategy, steps=8, mode="max", seed=0)
    text = Read(report.page(result)).text
    assert result.best.score < 1
    assert "A better score, 9, was reported before its turn ended." in text
    assert "A better score" not in Read(report.page(finished())).text


def test_a_score_that_does_not_count_is_not_explained_by_its_time() -> None:
    fire = ramet.FIRE(subpopulations=2, size=5, evaluators=2, turn_steps=4, evaluate_every=1)

    def train(session: ramet.Session) -> None:
        for turn in session.turns({"w": 0.0}):
            for _ in turn:
                turn.report(9.0 if turn.member in unranked else turn.hparams["lr"])

    opened = ramet.run(OneRate(), ONE, fire, steps=8, mode="max", seed=0)
    unranked = {nth for nth, birth in enumerate(opened.opening.births) if not birth.ranked}
    result = ramet.run(train, ONE, fire, steps=8, mode="max", seed=0)
    assert unranked
    assert result.best.score < 9
    assert "A better score" not in Read(report.page(result)).text
