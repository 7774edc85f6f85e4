"""PPO in one file, trained as a population. Needs gymnasium.

    python examples/ppo_pytorch.py
    python examples/ppo_pytorch.py --workers 2 --store runs.db   # if killed, run it again to go on

A step is a rollout and the update that follows it. The population explores the learning rate, the
entropy bonus, the clipping and the discount. There is no linear decay of the learning rate.
"""

import argparse

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import flatdim
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn
from torch.distributions import Categorical

import ramet
import ramet.torch


def parsed():
    parser = argparse.ArgumentParser(description="PPO on CartPole, trained by a population")
    parser.add_argument("--env-id", default="CartPole-v1")
    parser.add_argument("--num-envs", type=int, default=4)
    # 4 updates are 512 timesteps of each environment, and an episode has 500 at most. Otherwise
    # an agent that never fails would never have a score.
    parser.add_argument("--num-steps", type=int, default=128)
    parser.add_argument("--updates-per-turn", type=int, default=4)
    parser.add_argument("--num-updates", type=int, default=40)
    parser.add_argument("--update-epochs", type=int, default=4)
    parser.add_argument("--num-minibatches", type=int, default=4)
    parser.add_argument("--gae-lambda", type=float, default=0.95)
    parser.add_argument("--vf-coef", type=float, default=0.5)
    parser.add_argument("--max-grad-norm", type=float, default=0.5)
    parser.add_argument("--population", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--store")
    return parser.parse_args()


def linear(inputs, outputs, std=2**0.5):
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, std)
    nn.init.zeros_(layer.bias)
    return layer


class Agent(nn.Module):
    def __init__(self, observed, actions):
        super().__init__()
        self.critic = nn.Sequential(
            *(linear(observed, 64), nn.Tanh(), linear(64, 64), nn.Tanh()), linear(64, 1, std=1.0)
        )
        self.actor = nn.Sequential(
            *(linear(observed, 64), nn.Tanh(), linear(64, 64), nn.Tanh()),
            linear(64, actions, std=0.01),
        )

    def value(self, seen):
        return self.critic(seen).squeeze(-1)

    def policy(self, seen):
        return Categorical(logits=self.actor(seen), validate_args=False)


class Rollout:
    """Environments that are played across updates, and what was observed in the last one."""

    def __init__(self, args, agent):
        self.agent, self.length = agent, args.num_steps
        self.envs = SyncVectorEnv(
            [lambda: gymnasium.make(args.env_id)] * args.num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        size = (args.num_steps, args.num_envs)
        self.seen = torch.zeros((*size, flatdim(self.envs.single_observation_space)))
        self.actions = torch.zeros(size, dtype=torch.long)
        self.log_probs, self.rewards, self.dones, self.values = torch.zeros(4, *size)

    def reset(self, seed):
        """Begin all episodes anew."""
        self.next_seen = torch.as_tensor(self.envs.reset(seed=seed)[0])
        self.running, self.returns = np.zeros(self.envs.num_envs), []

    @torch.no_grad()
    def collect(self):
        for at in range(self.length):
            policy = self.agent.policy(self.next_seen)
            action = policy.sample()
            self.seen[at], self.actions[at] = self.next_seen, action
            self.log_probs[at] = policy.log_prob(action)
            self.values[at] = self.agent.value(self.next_seen)
            seen, reward, ended, cut_off, _ = self.envs.step(action.numpy())
            self.rewards[at], self.dones[at] = map(torch.as_tensor, (reward, ended | cut_off))
            self.next_seen = torch.as_tensor(seen)
            self.running += reward
            self.returns += self.running[ended | cut_off].tolist()
            self.running[ended | cut_off] = 0.0

    @torch.no_grad()
    def advantages(self, gamma, gae_lambda):
        """Return generalised advantage estimates."""
        advantages = torch.zeros_like(self.rewards)
        following, ahead = self.agent.value(self.next_seen), 0.0
        for at in reversed(range(self.length)):
            goes_on = 1.0 - self.dones[at]
            error = self.rewards[at] + gamma * following * goes_on - self.values[at]
            advantages[at] = ahead = error + gamma * gae_lambda * goes_on * ahead
            following = self.values[at]
        return advantages


def update(args, agent, optimizer, rollout, hparams):
    """Take the gradient steps that follow a rollout."""
    advantages = rollout.advantages(hparams["gamma"], args.gae_lambda)
    targets = (advantages + rollout.values).flatten()
    seen, actions = rollout.seen.flatten(0, 1), rollout.actions.flatten()
    before, advantages = rollout.log_probs.flatten(), advantages.flatten()
    for _ in range(args.update_epochs):
        for batch in torch.randperm(len(actions)).chunk(args.num_minibatches):
            policy = agent.policy(seen[batch])
            ratio = (policy.log_prob(actions[batch]) - before[batch]).exp()
            advantage = advantages[batch]
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            clipped = ratio.clamp(1 - hparams["clip_coef"], 1 + hparams["clip_coef"])
            policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
            value_loss = (agent.value(seen[batch]) - targets[batch]).square().mean() / 2
            bonus = hparams["ent_coef"] * policy.entropy().mean()
            optimizer.zero_grad()
            (policy_loss + args.vf_coef * value_loss - bonus).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
            optimizer.step()


def agent_for(args):
    env = gymnasium.make(args.env_id)
    return Agent(flatdim(env.observation_space), flatdim(env.action_space))


def play(args, agent, episodes=10):
    """Return the mean return of episodes in which the most likely action is taken."""
    returns = []
    with gymnasium.make(args.env_id) as env:
        for episode in range(episodes):
            (seen, _), over, total = env.reset(seed=episode), False, 0.0
            while not over:
                action = int(agent.policy(torch.as_tensor(seen)).probs.argmax())
                seen, reward, ended, cut_off, _ = env.step(action)
                total, over = total + float(reward), ended or cut_off
            returns.append(total)
    return np.mean(returns)


if __name__ == "__main__":
    args = parsed()
    torch.set_num_threads(1)  # Networks this small are no faster with more threads.

    def train(session):
        ramet.torch.seed(session.seed)
        agent = agent_for(args)
        optimizer = torch.optim.Adam(agent.parameters(), eps=1e-5)
        rollout = Rollout(args, agent)
        for turn in session.turns(ramet.torch.State(agent, optimizer)):
            # The next turn may be another member's, or another process's.
            rollout.reset(seed=int(turn.rng.integers(2**31)))
            for _ in turn:
                rollout.collect()
                update(args, agent, optimizer, rollout, turn.hparams)
            turn.report(np.mean(rollout.returns) if rollout.returns else None)

    result = ramet.run(
        train,
        ramet.Space(
            lr=ramet.LogUniform(1e-4, 1e-2),  # set in Adam, which has a setting of this name
            ent_coef=ramet.LogUniform(1e-4, 0.1),
            clip_coef=ramet.Uniform(0.05, 0.4),
            gamma=ramet.Uniform(0.9, 0.999),
        ),
        ramet.PBT(population=args.population, turn_steps=args.updates_per_turn, synchronous=True),
        steps=args.num_updates,
        mode="max",
        seed=args.seed,
        workers=args.workers,
        store=args.store,
        name="ppo_pytorch",
    )

    agent = agent_for(args)
    ramet.torch.load_model(agent, result.best.load())
    print(f"the pole is held for {play(args, agent):.0f} of 500 timesteps")
    for step, hparams in result.schedule():
        print(f"from update {step}: {', '.join(f'{k} = {v:.3g}' for k, v in hparams.items())}")
