"""Members that algorithms of Stable-Baselines3 train."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import ramet
import ramet.torch
from ramet.errors import HyperparameterUnread, MissingScore, TurnInterrupted
from ramet.events import TurnEnded, canonical
from ramet.integrations.stable_baselines3 import Turns
from tests.integrations.baselines import Dial, Levers, learn, learn_quickly, ppo, small
from tests.values import STRICT

RATES = ramet.Space(learning_rate=ramet.LogUniform(1e-4, 0.1))
# All that PPO reads at each update.
ALL = ramet.Space(
    learning_rate=ramet.LogUniform(1e-4, 0.1),
    clip_range=ramet.Uniform(0.05, 0.4),
    clip_range_vf=ramet.Uniform(0.05, 0.4),
    ent_coef=ramet.LogUniform(1e-4, 0.1),
    vf_coef=ramet.Uniform(0.1, 1.0),
    max_grad_norm=ramet.LogUniform(0.1, 10.0),
    gamma=ramet.Uniform(0.8, 0.999),
    gae_lambda=ramet.Uniform(0.8, 1.0),
    n_epochs=ramet.Integer(1, 4),
    batch_size=ramet.Choice([4, 8, 16]),
)


def pbt(population: int = 6, turn_steps: int = 2) -> ramet.PBT:
    return ramet.PBT(population=population, turn_steps=turn_steps, synchronous=True)


class Used(torch.optim.SGD):
    """An optimiser that says which rate it steps with."""

    rates: list[float]

    def step(self, closure: Any = None) -> Any:
        self.rates.append(self.param_groups[0]["lr"])
        return super().step(closure)


def test_every_update_uses_the_explored_rate_and_no_schedule() -> None:
    updates: list[int] = []

    def train(session: ramet.Session) -> None:
        kwargs = {"optimizer_class": Used, "net_arch": [8]}
        model = ppo(policy_kwargs=kwargs, learning_rate=lambda left: 0.3 * left)
        optimizer: Any = model.policy.optimizer
        optimizer.rates = []

        def score(model: Any) -> float:
            rate: float = turns.turn.hparams["learning_rate"]
            assert set(optimizer.rates) == {rate}
            assert model.logger.name_to_value["train/learning_rate"] == rate
            updates.append(len(optimizer.rates))
            optimizer.rates.clear()
            return rate

        turns = Turns(session, score)
        model.learn(total_timesteps=10**9, callback=turns)

    result = ramet.run(train, RATES, pbt(), steps=10, mode="max", seed=0, engine=STRICT)
    assert result.population.copies > 2
    # Two rollouts of 16 timesteps, twice over in batches of 8.
    assert set(updates) == {2 * 2 * 2}


def test_hyperparameters_go_where_each_update_reads_them() -> None:
    class Looking(PPO):
        turns: Turns

        def train(self) -> None:
            super().train()
            values, logged = self.turns.turn.hparams, self.logger.name_to_value
            for name in ("learning_rate", "clip_range", "clip_range_vf"):
                assert logged[f"train/{name}"] == values[name]
            for name in ("ent_coef", "vf_coef", "max_grad_norm", "n_epochs", "batch_size"):
                assert getattr(self, name) == values[name]
            for name in ("gamma", "gae_lambda"):
                assert getattr(self, name) == getattr(self.rollout_buffer, name) == values[name]

    def train(session: ramet.Session) -> None:
        model = Looking("MlpPolicy", Levers(), n_steps=16, batch_size=8, **small())
        model.turns = Turns(session)
        model.learn(total_timesteps=10**9, callback=model.turns)

    result = ramet.run(train, ALL, pbt(), steps=8, mode="max", seed=0, engine=STRICT)
    assert result.population.copies


def test_each_turn_begins_with_the_weights_and_the_statistics_that_its_member_has() -> None:
    began = []

    class Looking(BaseCallback):
        def _on_rollout_start(self) -> None:
            turn = turns[-1].turn
            if turn.step == turn.start + 1 and turn.checkpoint is not None:
                saved, live = turn.read_checkpoint(), self.model.policy.state_dict()
                assert all((saved["model"][name] == live[name].numpy()).all() for name in live)
                assert saved["others[0]"]["returns"]["count"] > 16
                began.append(turn.checkpoint.member != turn.member)

        def _on_step(self) -> bool:
            return True

    turns: list[Turns] = []

    def train(session: ramet.Session) -> None:
        turns.append(Turns(session))
        env = VecNormalize(DummyVecEnv([monitored, monitored]))
        model = ppo(env, n_steps=8, seed=session.seed)
        model.learn(total_timesteps=10**9, callback=[turns[-1], Looking()])

    ramet.run(train, RATES, pbt(), steps=8, mode="max", seed=0)
    assert set(began) == {True, False}


def monitored() -> Any:
    return Monitor(Levers())


@pytest.mark.parametrize(
    ("algorithm", "space"),
    [
        (DQN, {"exploration_rate": ramet.Uniform(0.01, 0.5)}),
        (SAC, {"tau": ramet.Uniform(0.001, 0.1)}),
        (SAC, {"ent_coef": ramet.LogUniform(0.01, 1.0)}),
        (TD3, {"target_policy_noise": ramet.Uniform(0.1, 0.3)}),
    ],
)
def test_algorithms_with_a_replay_buffer_are_members_too(
    algorithm: Callable[..., Any], space: dict[str, Any]
) -> None:
    def train(session: ramet.Session) -> None:
        settings = {"ent_coef": 0.1} if "ent_coef" in space else {}
        env = Levers() if algorithm is DQN else Dial()
        model = algorithm(
            "MlpPolicy", env, train_freq=8, learning_starts=4, buffer_size=99, **settings, **small()
        )

        def score(model: Any) -> float:
            rates = [
                group["lr"]
                for part in ("policy", "actor", "critic")
                if hasattr(model, part) and hasattr(getattr(model, part), "optimizer")
                for group in getattr(model, part).optimizer.param_groups
            ]
            assert set(rates) == {turns.turn.hparams["lr"]}
            if "exploration_rate" in space:
                assert model.exploration_rate == turns.turn.hparams["exploration_rate"]
            if "ent_coef" in space:
                used = model.logger.name_to_value["train/ent_coef"]
                assert used == pytest.approx(turns.turn.hparams["ent_coef"])
            return float(np.mean(rates))

        turns = Turns(session, score)
        model.learn(total_timesteps=10**9, callback=turns, log_interval=10**9)

    whole = ramet.Space(lr=ramet.LogUniform(1e-4, 1e-2), **space)
    result = ramet.run(train, whole, pbt(population=5), steps=6, mode="max", seed=0, engine=STRICT)
    assert result.population.copies


def test_every_action_explores_at_the_explored_rate() -> None:
    acted: list[float] = []

    class Acting(DQN):
        turns: Turns

        def predict(self, *given: Any, **named: Any) -> Any:
            assert self.exploration_rate == self.turns.turn.hparams["exploration_rate"]
            acted.append(self.exploration_rate)
            return super().predict(*given, **named)

    def train(session: ramet.Session) -> None:
        model = Acting(
            "MlpPolicy", Levers(), train_freq=8, learning_starts=0, buffer_size=99, **small()
        )
        model.turns = Turns(session)
        model.learn(total_timesteps=10**9, callback=model.turns, log_interval=10**9)

    space = ramet.Space(exploration_rate=ramet.Uniform(0.01, 0.5))
    result = ramet.run(train, space, pbt(), steps=6, mode="max", seed=0, engine=STRICT)
    assert result.population.copies
    assert len(set(acted)) > 6


def test_an_entropy_coefficient_that_is_learned_is_none_to_be_set() -> None:
    def train(session: ramet.Session) -> None:
        model = SAC("MlpPolicy", Dial(), train_freq=8, learning_starts=4, buffer_size=99, **small())
        model.learn(total_timesteps=10**9, callback=Turns(session))

    space = ramet.Space(ent_coef=ramet.LogUniform(0.01, 1.0))
    with pytest.raises(HyperparameterUnread, match="ent_coef"):
        ramet.run(train, space, pbt(), steps=4, mode="max", seed=0, engine=STRICT)


@pytest.mark.slow
@pytest.mark.parametrize("train", [learn, learn_quickly])
def test_a_run_is_the_same_for_any_number_of_processes(
    tmp_path: Path, train: Callable[[ramet.Session], None]
) -> None:
    def run(**where: Any) -> ramet.Result:
        return ramet.run(train, RATES, pbt(), steps=10, mode="max", seed=0, **where)

    alone = run()
    assert alone.population.copies
    together = run(store=tmp_path / "runs.db", workers=2)
    assert canonical(together.events) == canonical(alone.events)


def test_the_score_is_the_mean_return_of_all_episodes_of_the_turn() -> None:
    returns: list[float] = []

    class Noting(Levers):
        def reset(self, **given: Any) -> Any:
            self.pulled = 0.0
            return super().reset(**given)

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            seen, reward, ended, *rest = super().step(action)
            self.pulled += reward
            if ended:
                returns.append(self.pulled)
            return seen, reward, ended, *rest

    def train(session: ramet.Session) -> None:
        model = ppo(Noting(), n_steps=256, batch_size=64, seed=session.seed)
        model.learn(total_timesteps=10**9, callback=Turns(session))

    strategy = ramet.RandomSearch(population=1, turn_steps=2)
    result = ramet.run(train, RATES, strategy, steps=4, mode="max", seed=0)
    ended = [event for event in result.events if isinstance(event, TurnEnded)]
    # Two rollouts of 64 episodes of four levers, which is more than logs are of.
    turns = [returns[:128], returns[128:256]]
    scores = [score for event in ended for _, score in event.points]
    assert scores == pytest.approx([np.mean(turn) for turn in turns])
    assert scores[0] != pytest.approx(np.mean(turns[0][-100:]))


def test_the_levers_are_learned() -> None:
    result = ramet.run(learn, RATES, pbt(), steps=20, mode="max", seed=0)
    assert result.best.score > 3
    policy = ppo().policy
    ramet.torch.load_model(policy, result.best.load())
    pulled, _ = policy.predict(np.array([[-1.0], [1.0]], np.float32), deterministic=True)
    assert list(pulled) == [0, 1]


def run_badly(**settings: Any) -> None:
    def train(session: ramet.Session) -> None:
        model = ppo(settings.pop("env", None))
        model.learn(**{"total_timesteps": 10**9, "callback": Turns(session), **settings})

    ramet.run(train, RATES, pbt(), steps=10, mode="max")


def test_too_few_timesteps_are_refused() -> None:
    with pytest.raises(TurnInterrupted, match=r"at step 2 of turn 0 .* raise total_timesteps"):
        run_badly(total_timesteps=16)


def test_environments_that_say_no_returns_are_refused() -> None:
    with pytest.raises(MissingScore, match=r"wrap the environments in .*Monitor"):
        run_badly(env=DummyVecEnv([Levers]))


def test_a_turn_in_which_no_episode_ends_has_no_score(caplog: pytest.LogCaptureFixture) -> None:
    class Endless(Levers):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            seen, reward, _, *rest = super().step(action)
            return seen, reward, False, *rest

    def train(session: ramet.Session) -> None:
        model = ppo(Endless(), seed=session.seed)
        model.learn(total_timesteps=10**9, callback=Turns(session))

    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(train, RATES, pbt(), steps=10, mode="max", seed=0)
    assert (result.population.copies, result.population.best) == (0, None)
    assert "no episode had ended after" in caplog.text
    assert "raise turn_steps= or evaluate_every=" in caplog.text


class Lives(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Levers as a game of Atari: each four pulls cost a life, of nine."""

    def __init__(self) -> None:
        super().__init__(Levers())
        self.env.unwrapped.ale = self  # where Atari has it
        self.games = 0

    def lives(self) -> int:
        return self.left

    def reset(self, **given: Any) -> Any:
        self.left = 9
        self.games += 1
        return super().reset(**given)

    def step(self, action: Any) -> Any:
        seen, reward, lost, *rest = super().step(action)
        if lost:
            self.left -= 1
            seen, _ = super().reset()
        return seen, reward, self.left == 0, *rest


def learn_a_game(session: ramet.Session, **settings: Any) -> None:
    # As make_atari_env() wraps them: Monitor first, and what ends an episode at each lost life.
    env = DummyVecEnv([lambda: EpisodicLifeEnv(Monitor(Lives()))])
    model = ppo(env, seed=session.seed, **settings)
    model.learn(total_timesteps=10**9, callback=Turns(session))


def test_where_a_lost_life_ends_an_episode_the_score_is_of_whole_games() -> None:
    def train(session: ramet.Session) -> None:
        learn_a_game(session, n_steps=256, batch_size=64)

    result = ramet.run(train, RATES, pbt(turn_steps=1), steps=2, mode="max", seed=0)
    # Of 36 pulls.
    assert 9 < result.best.score <= 36


def test_a_turn_of_lost_lives_and_no_whole_game_has_no_score(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "ramet"):
        result = ramet.run(learn_a_game, RATES, pbt(turn_steps=1), steps=2, mode="max", seed=0)
    assert result.population.best is None
    assert "no episode had ended after" in caplog.text


def test_each_turn_begins_with_a_game_of_its_own() -> None:
    games: list[int] = []

    def train(session: ramet.Session) -> None:
        game = Lives()
        env = DummyVecEnv([lambda: EpisodicLifeEnv(Monitor(game))])

        def score(model: Any) -> float:
            games.append(game.games)
            return 0.0

        ppo(env).learn(total_timesteps=10**9, callback=Turns(session, score))

    strategy = ramet.RandomSearch(population=1, turn_steps=1)
    ramet.run(train, RATES, strategy, steps=3, mode="max", seed=0)
    # A turn is sixteen pulls, which is less than a game; learn() itself begins the first.
    assert games == [2, 3, 4]


def test_a_score_function_may_say_that_there_is_no_score() -> None:
    def train(session: ramet.Session) -> None:
        def score(model: Any) -> float | None:
            return None if turns.turn.number == 0 else 1.0

        turns = Turns(session, score)
        ppo(seed=session.seed).learn(total_timesteps=10**9, callback=turns)

    result = ramet.run(train, RATES, pbt(turn_steps=1), steps=2, mode="max", seed=0)
    assert [row["score"] for row in result.rows("turns")] == [None] * 6 + [1.0] * 6
