"""Stable-Baselines3: a callback that has an algorithm train a member's turns."""

try:
    from stable_baselines3.common.base_class import BaseAlgorithm
except ImportError as error:
    raise ImportError(
        f"ramet.integrations.stable_baselines3 needs Stable-Baselines3, but {error}; install it: "
        f"pip install 'ramet[sb3]'"
    ) from error

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import FloatSchedule, update_learning_rate
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize, is_vecenv_wrapped

import ramet.torch
from ramet import wording
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import MissingScore, UsageError
from ramet.integrations.stepping import Bind, Stepping, bindings
from ramet.state import Tree
from ramet.torch.places import Attributes

logger = logging.getLogger("ramet")

# Attributes of algorithms that each update reads anew; others only count when one is built.
READ_LIVE = (
    *("batch_size", "ent_coef", "gradient_steps", "max_grad_norm", "n_epochs", "policy_delay"),
    *("target_kl", "target_noise_clip", "target_policy_noise", "tau", "vf_coef"),
)
# Those that buffers keep as well.
OF_BUFFERS = ("gae_lambda", "gamma")
# What an algorithm asks for a value, and under which name.
SCHEDULES = {
    "clip_range": "clip_range",
    "clip_range_vf": "clip_range_vf",
    "exploration_rate": "exploration_schedule",
}


class Turns(BaseCallback):
    """Has an algorithm train a member's turns, and stops it when there are no more.

    ::

        def train(session):
            model = PPO("MlpPolicy", "CartPole-v1", seed=session.seed, device="cpu")
            model.learn(total_timesteps=10**9, callback=Turns(session))

    A step is a rollout and the update that follows it: with ``PPO(n_steps=128)`` and one
    environment, 128 timesteps. The score is the mean return of all episodes that ended in the turn,
    which is of the policies that acted in it: none has seen its last update. A turn in which no
    episode ended has no score, so that its member neither copies nor is copied. Or the score is
    what ``score`` makes of the algorithm as the turn leaves it, by ``evaluate_policy`` perhaps; it
    may return None, which is no score.

    Returns are those that ``Monitor`` or ``VecMonitor`` measures. Where a lost life ends an
    episode, as in ``AtariWrapper``, the return is that of the whole game.

    What follows a member: the policy, its optimisers, a learned entropy coefficient, statistics of
    ``VecNormalize``, generators of random numbers, and ``others``, as ``ramet.torch.State`` takes
    them. What does not: environments, which are reset and seeded at a turn's beginning, counters of
    timesteps and updates, and the replay buffer, which holds what all members met here. So a run of
    PPO or A2C is the same for any number of workers, and one of DQN, SAC or TD3 is not.

    Stable-Baselines3 sets rates and clip ranges anew at each update, from schedules. Those of
    ``learning_rate`` (or ``lr``), ``clip_range``, ``clip_range_vf`` and DQN's ``exploration_rate``
    become the hyperparameter; others stay about where they begin, because they go by
    ``total_timesteps``, which is to be as many as one process may train for all members together.
    Of the attributes that every update reads, ``READ_LIVE`` and ``OF_BUFFERS`` go by their names;
    ``bind`` says where others go, as ``ramet.torch.State`` takes it; if it is a function, it is
    called with the algorithm.
    """

    def __init__(
        self,
        member: Session,
        score: Callable[[Any], Any] | None = None,
        *,
        bind: Bind | None = None,
        others: Sequence[Any] = (),
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        self._member = member
        self._score = score
        self._bind = bind
        self._others = others
        self._stepping: Stepping | None = None
        # Whether a rollout was collected, which an update follows.
        self._collected = False
        # The turn that episodes were begun for, and the returns of those that have ended.
        self._of: Turn | None = None
        self._returns: list[float] = []
        # Whether an episode ever said what it returned, and whether one ended and did not.
        self._heard = self._unheard = False
        # Whether it was said that no episode ended in a turn.
        self._said = False

    @property
    def turn(self) -> Turn:
        """The turn that is being trained; when all are over, the last."""
        return self._active.turn

    def _on_training_start(self) -> None:
        self._stepping = Stepping(self._member, self._state())

    def _on_rollout_start(self) -> None:
        self._end_step()
        if not self._active.over and self._of is not self.turn:
            self._of = self.turn
            self._begin_episodes(int(self.turn.rng.integers(2**31)))

    def _on_step(self) -> bool:
        for info, done in zip(self.locals["infos"], self.locals["dones"], strict=True):
            if "episode" in info:
                self._heard = True
                self._returns.append(float(info["episode"]["r"]))
            elif done:
                self._unheard = True
        return not self._active.over

    def _on_rollout_end(self) -> None:
        self._collected = True

    def _on_training_end(self) -> None:
        self._end_step()
        self._active.refuse_an_early_end(
            "let nothing but its turns stop the algorithm: raise total_timesteps"
        )

    @property
    def _active(self) -> Stepping:
        if self._stepping is None:
            raise UsageError("a member's turns must be trained by learn(), but it has not begun")
        return self._stepping

    def _end_step(self) -> None:
        if not self._collected:
            return
        self._collected = False
        score = self._compute_score() if self._active.score_due else None
        if score is None:
            self._active.step_without_score()
        else:
            self._active.step(score)

    def _compute_score(self) -> Any:
        if self._score is not None:
            return self._score(self.model)
        if self._returns:
            return float(np.mean(self._returns))
        self._refuse_silent_environments()
        self._say_that_none_ended()
        return None

    def _refuse_silent_environments(self) -> None:
        """Raise if episodes end and nothing will ever say what they returned."""
        if self._unheard and not self._heard and not _is_monitored(self.training_env):
            raise MissingScore(
                "an environment must say what an episode returned, but episodes ended and none "
                "did; wrap the environments in stable_baselines3's Monitor (or VecMonitor), or "
                "give Turns a score= of your own"
            )

    def _say_that_none_ended(self) -> None:
        if self._said:
            return
        self._said = True
        turn = self.turn
        logger.warning(
            "a turn should be several episodes long, because environments are reset when it "
            "begins, but no episode had ended after %s of turn %d of member %d, where a score was "
            "due; there is none now; raise turn_steps= or evaluate_every=, or n_steps",
            wording.count(turn.step - turn.start, "rollout"),
            turn.number,
            turn.member,
            extra={"member": turn.member, "turn": turn.number},
        )

    def _begin_episodes(self, seed: int) -> None:
        """Have episodes of this turn only, the same wherever it is trained."""
        self._returns.clear()
        model, env = self.model, self.training_env
        model.action_space.seed(seed)
        env.seed(seed)
        if any(env.env_is_wrapped(EpisodicLifeEnv)):
            # It would go on with the game of the turn before.
            env.env_method("set_wrapper_attr", "was_real_done", True)  # noqa: FBT003 - its value
        model._last_obs = env.reset()  # type: ignore[assignment]  # noqa: SLF001 - as learn() does
        model._last_episode_starts = np.ones(env.num_envs, dtype=bool)  # noqa: SLF001 - SB3 has no other name for it
        if (normalize := model.get_vec_normalize_env()) is not None:
            model._last_original_obs = normalize.get_original_obs()  # noqa: SLF001 - SB3 has no other name for it
        if model.action_noise is not None:
            model.action_noise.reset()
        if model.use_sde:
            model.policy.reset_noise(env.num_envs)  # type: ignore[operator]  # of SB3, which types it loosely
        for finished in (model.ep_info_buffer, model.ep_success_buffer):
            if finished is not None:
                finished.clear()

    def _state(self) -> ramet.torch.State:
        model = self.model
        modules, tensors = model._get_torch_save_params()  # noqa: SLF001 - what save() writes
        optimizers = [_at(model, name) for name in modules if name.endswith("optimizer")]
        normalize = model.get_vec_normalize_env()
        first, *more = optimizers or [None]
        return ramet.torch.State(
            model.policy,
            first,
            *more,
            *[_at(model, name) for name in tensors],
            *([] if normalize is None else [Statistics(normalize)]),
            *self._others,
            bind=bindings(
                self._member, lambda name: _place(model, optimizers, name), self._bind, model
            ),
        )


class Rate:
    """The learning rate, which an algorithm gives all its optimisers at each update."""

    def __init__(self, model: BaseAlgorithm, optimizers: Sequence[Any]) -> None:
        self._model, self._optimizers = model, optimizers

    def write(self, value: Any) -> None:
        self._model.learning_rate = value
        self._model.lr_schedule = FloatSchedule(value)
        for optimizer in self._optimizers:
            update_learning_rate(optimizer, value)

    def read(self) -> Sequence[Any]:
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        return [_now(self._model, "lr_schedule"), *(group["lr"] for group in groups)]


class Scheduled:
    """What an algorithm asks a schedule for at each update, or after each action."""

    def __init__(self, model: BaseAlgorithm, name: str) -> None:
        self._model, self._schedule = model, SCHEDULES[name]
        # Where DQN keeps what it was last told, and acts by it.
        self._told = [name] if name != self._schedule else []

    def write(self, value: Any) -> None:
        setattr(self._model, self._schedule, FloatSchedule(value))
        for name in self._told:
            setattr(self._model, name, value)

    def read(self) -> Sequence[Any]:
        told = [getattr(self._model, name) for name in self._told]
        return [_now(self._model, self._schedule), *told]


class Statistics:
    """What observations and rewards are normalised by."""

    def __init__(self, normalize: VecNormalize) -> None:
        self._normalize = normalize

    def capture(self) -> Tree:
        return {
            name: {"mean": one.mean, "var": one.var, "count": float(one.count)}
            for name, one in self._running().items()
        }

    def restore(self, tree: Tree) -> None:
        for name, one in self._running().items():
            one.mean, one.var = np.array(tree[name]["mean"]), np.array(tree[name]["var"])
            one.count = tree[name]["count"]

    def _running(self) -> dict[str, Any]:
        observed: Any = getattr(self._normalize, "obs_rms", {})
        by_key = observed if isinstance(observed, dict) else {"": observed}
        of_observations = {f"observations {key}": one for key, one in by_key.items()}
        return {"returns": self._normalize.ret_rms} | of_observations


def _is_monitored(env: VecEnv) -> bool:
    """Say whether the environments measure what episodes return, as Stable-Baselines3 does it."""
    return is_vecenv_wrapped(env, VecMonitor) or all(env.env_is_wrapped(Monitor))


def _place(model: BaseAlgorithm, optimizers: Sequence[Any], name: str) -> Any:
    """Return where an algorithm reads the hyperparameter of that name, if it does."""
    if name in {"learning_rate", "lr"}:
        return Rate(model, optimizers)
    if name in SCHEDULES and hasattr(model, SCHEDULES[name]):
        return Scheduled(model, name)
    if name == "ent_coef" and hasattr(model, "log_ent_coef"):
        # Which is either given, and kept in a tensor, or learned.
        return (model, "ent_coef_tensor") if hasattr(model, "ent_coef_tensor") else None
    buffers = [getattr(model, name, None) for name in ("rollout_buffer", "replay_buffer")]
    if name in OF_BUFFERS:
        holders = [holder for holder in (model, *buffers) if hasattr(holder, name)]
        return Attributes(holders, name) if holders else None
    return (model, name) if name in READ_LIVE and hasattr(model, name) else None


def _now(model: BaseAlgorithm, schedule: str) -> float:
    value: float = getattr(model, schedule)(model._current_progress_remaining)  # noqa: SLF001 - SB3 has no other name for it
    return value


def _at(model: BaseAlgorithm, name: str) -> Any:
    """Return what is at a dotted name."""
    found: Any = model
    for part in name.split("."):
        found = getattr(found, part)
    return found
