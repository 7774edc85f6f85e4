"""PPO of Stable-Baselines3 balances a pole, trained as a population.

    python examples/sb3_cartpole.py      # needs stable-baselines3

The algorithm is as for any other training, except for its callback. A step is a rollout of 256
timesteps and the update that follows it.
"""

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

import ramet
import ramet.torch
from ramet.integrations.stable_baselines3 import Turns


def algorithm(seed):
    return PPO(
        "MlpPolicy", "CartPole-v1", n_steps=256, batch_size=128, gamma=0.98, seed=seed, device="cpu"
    )


def train(session):
    model = algorithm(seed=session.seed)
    model.learn(total_timesteps=1_000_000_000, callback=Turns(session))  # the callback stops it


def main():
    space = ramet.Space(
        learning_rate=ramet.LogUniform(3e-4, 1e-2),
        clip_range=ramet.Uniform(0.05, 0.4),
        ent_coef=ramet.LogUniform(1e-5, 0.1),
        n_epochs=ramet.Integer(2, 10),
    )
    strategy = ramet.PBT(population=5, turn_steps=8, synchronous=True)
    result = ramet.run(train, space, strategy, steps=32, mode="max", seed=0)

    model = algorithm(seed=0)
    ramet.torch.load_model(model.policy, result.best.load())
    held, _ = evaluate_policy(model, make_vec_env("CartPole-v1", seed=0), n_eval_episodes=10)
    print(f"the pole is held for {held:.0f} of 500 timesteps")
    for step, hparams in result.schedule():
        print(f"from step {step}: {', '.join(f'{k} = {v:.2g}' for k, v in hparams.items())}")


if __name__ == "__main__":
    torch.set_num_threads(1)  # a small network is slower with more threads
    main()
