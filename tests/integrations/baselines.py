"""Algorithms of Stable-Baselines3, as worker processes find them too."""

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import A2C, PPO

import ramet
from ramet.integrations.stable_baselines3 import Turns


class Levers(gymnasium.Env[Any, Any]):
    """Four times there is a lever to pull: that to which the sign shown points gives 1."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 4
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float((self.sign > 0) == bool(action))
        self.left -= 1
        return self._shown(), reward, self.left == 0, False, {}

    def _shown(self) -> Any:
        self.sign = self.np_random.choice([-1.0, 1.0])
        return np.array([self.sign], np.float32)


class Dial(Levers):
    """The same with a dial for the levers, for algorithms that turn dials."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return super().step(action[0] > 0)


def ppo(env: Any = None, **settings: Any) -> PPO:
    chosen = {"n_steps": 16, "batch_size": 8, "n_epochs": 2, **small(), **settings}
    return PPO("MlpPolicy", env or Levers(), **chosen)


def small() -> dict[str, Any]:
    """Return settings of their own for each algorithm, some of which write on them."""
    return {"policy_kwargs": {"net_arch": [8]}, "device": "cpu"}


def learn(session: ramet.Session) -> None:
    torch.set_num_threads(1)
    ppo(seed=session.seed).learn(total_timesteps=10**9, callback=Turns(session))


def learn_quickly(session: ramet.Session) -> None:
    torch.set_num_threads(1)
    model = A2C("MlpPolicy", Levers(), seed=session.seed, n_steps=16, **small())
    model.learn(total_timesteps=10**9, callback=Turns(session))
