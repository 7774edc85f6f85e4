"""Stable-Baselines3: a callback by which an algorithm trains a member's turns."""

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
from ramet.averaging import Average
from ramet.engine.run.turn import Turn
from ramet.engine.workers.session import Session
from ramet.errors import MissingScore, StateError, UsageError
from ramet.integrations.stepping import Bind, Stepping, bindings
from ramet.state import Tree
from ramet.torch.places import Attributes

logger = logging.getLogger("ramet")

# Attributes that each update of an algorithm reads; others are only read when it is built.
READ_LIVE = (
    *("batch_size", "ent_coef", "gradient_steps", "max_grad_norm", "n_epochs", "policy_delay"),
    *("target_kl", "target_noise_clip", "target_policy_noise", "tau", "vf_coef"),
)
# Attributes that buffers have as well.
OF_BUFFERS = ("gae_lambda", "gamma")
# The schedule that an algorithm calls for each of these values.
SCHEDULES = {
    "clip_range": "clip_range",
    "clip_range_vf": "clip_range_vf",
    "exploration_rate": "exploration_schedule",
}


class Turns(BaseCallback):
    """Makes an algorithm train a member's turns, and stops it when there are no more.

    ::

        def train(session):
            model = PPO("MlpPolicy", "CartPole-v1", seed=session.seed, device="cpu")
            model.learn(total_timesteps=10**9, callback=Turns(session))

    A step is a rollout and the update that follows it: with ``PPO(n_steps=128)`` and one
    environment, 128 timesteps. The score is the mean return of all episodes that ended in the turn.
    The turn's last update of the policy comes after these episodes. A turn in which no episode
    ended has no score, so its member neither copies another one nor is copied.

    Returns are those that ``Monitor`` or ``VecMonitor`` measures. If a lost life ends an episode,
    as in ``AtariWrapper``, the return is that of the whole game.

    These follow a member: the policy, its optimizers, a learned entropy coefficient, statistics of
    ``VecNormalize``, generators of random numbers, and ``others``. These do not: environments,
    which are reset and seeded when a turn begins, counters of timesteps and updates, and the replay
    buffer, which holds the experience of all members in this process. So a run of PPO or A2C gives
    the same result for any number of workers, and a run of DQN, SAC or TD3 does not.

    Stable-Baselines3 sets rates and clip ranges at each update, from schedules. The schedules of
    ``learning_rate`` (or ``lr``), ``clip_range``, ``clip_range_vf`` and DQN's ``exploration_rate``
    are replaced by the hyperparameter. The values of other schedules hardly change, because they
    depend on ``total_timesteps``. That must be at least the timesteps that one process may train
    for all members together. The attributes in ``READ_LIVE`` and ``OF_BUFFERS``, which each update
    reads, are set by their names.

    Args:
        member: The session.
        score: A function of the algorithm, such as one that calls ``evaluate_policy``. It returns
            the score at the end of a turn, or None if there is none. Without it, the score is the
            mean return of episodes.
        bind: Where further hyperparameters are set, as ``ramet.torch.State`` takes it, or a
            function of the algorithm that returns that.
        others: Further parts that follow a member, as ``ramet.torch.State`` takes them.
        average: A running average of the policy's weights, as ``ramet.torch.State`` takes it, which
            the policy has while ``score`` is called.
        verbose: How much Stable-Baselines3 prints, as in its own callbacks.
    """

    def __init__(
        self,
        member: Session,
        score: Callable[[Any], Any] | None = None,
        *,
        bind: Bind | None = None,
        others: Sequence[Any] = (),
        average: Average | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(verbose)
        if average is not None and average.scored and score is None:
            raise StateError(
                f"averaged weights must be scored by episodes of their own, but returns are those "
                f"of training, and there is no score= beside average={average!r}; pass one, such "
                f"as score=lambda model: evaluate_policy(model, env)[0], or keep the average only: "
                f"scored=False"
            )
        self._member = member
        self._score = score
        self._bind = bind
        self._others = others
        self._average = average
        self._stepping: Stepping | None = None
        # Whether a rollout was collected. An update follows.
        self._collected = False
        # The turn that episodes were started for, and the returns of those that ended.
        self._of: Turn | None = None
        self._returns: list[float] = []
        # Whether an episode ever reported its return, and whether one ended without.
        self._heard = self._unheard = False
        # Whether the warning that no episode ended in a turn was given.
        self._said = False

    @property
    def turn(self) -> Turn:
        """The current turn; when all are over, the last."""
        return self._active.turn

    def _on_training_start(self) -> None:
        self._stepping = Stepping(self._member, self._state(), self._average)

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
            with self._active.scoring():
                return self._score(self.model)
        if self._returns:
            return float(np.mean(self._returns))
        self._refuse_silent_environments()
        self._say_that_none_ended()
        return None

    def _refuse_silent_environments(self) -> None:
        """Raise if episodes end and nothing measures their returns."""
        if self._unheard and not self._heard and not _is_monitored(self.training_env):
            raise MissingScore(
                "an environment must report the return of each episode, but episodes ended and "
                "none did; wrap the environments in stable_baselines3's Monitor (or VecMonitor), "
                "or pass a score= of your own to Turns"
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
        """Start new episodes, so that a turn is the same in whichever process it is trained."""
        self._returns.clear()
        model, env = self.model, self.training_env
        model.action_space.seed(seed)
        env.seed(seed)
        if any(env.env_is_wrapped(EpisodicLifeEnv)):
            # It would continue the game of the last turn.
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
            average=self._average,
        )


class Rate:
    """The learning rate, which an algorithm sets in all its optimizers at each update."""

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
    """A value that an algorithm gets from a schedule at each update, or after each action."""

    def __init__(self, model: BaseAlgorithm, name: str) -> None:
        self._model, self._schedule = model, SCHEDULES[name]
        # DQN keeps the last value here and uses it for each action.
        self._told = [name] if name != self._schedule else []

    def write(self, value: Any) -> None:
        setattr(self._model, self._schedule, FloatSchedule(value))
        for name in self._told:
            setattr(self._model, name, value)

    def read(self) -> Sequence[Any]:
        told = [getattr(self._model, name) for name in self._told]
        return [_now(self._model, self._schedule), *told]


class Statistics:
    """The statistics by which observations and rewards are normalised."""

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
    """Say whether the environments measure the returns of episodes."""
    return is_vecenv_wrapped(env, VecMonitor) or all(env.env_is_wrapped(Monitor))


def _place(model: BaseAlgorithm, optimizers: Sequence[Any], name: str) -> Any:
    """Return where an algorithm reads the hyperparameter of this name; None if it does not."""
    if name in {"learning_rate", "lr"}:
        return Rate(model, optimizers)
    if name in SCHEDULES and hasattr(model, SCHEDULES[name]):
        return Scheduled(model, name)
    if name == "ent_coef" and hasattr(model, "log_ent_coef"):
        # It is fixed, in a tensor, or learned.
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
    """Return the object at a dotted name."""
    found: Any = model
    for part in name.split("."):
        found = getattr(found, part)
    return found
