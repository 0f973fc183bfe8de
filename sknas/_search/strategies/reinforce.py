"""REINFORCE on the LSTM controller, with the predictor (paper 4, appendix A).

A search has a few rounds, and a step on the gradient of one round hardly moves a
policy. Hence the replay: after each round the policy takes further steps on all trials
so far, held near to where it was by the clipped ratio of proximal policy optimisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sknas._device import single_thread
from sknas._search.strategies.base import SearchStrategy
from sknas._search.strategies.baselines import (
    Baseline,
    ConstantBaseline,
    MovingAverageBaseline,
)
from sknas._search.strategies.controller import LSTMController
from sknas._search.strategies.predictor import AccuracyPredictor
from sknas._space import Architecture

_MAX_GRADIENT_NORM = 5.0
# Steps on the predictor's unit alone after each joint update: it costs next to
# nothing, and leaves the LSTM, and so the policy, where the joint update put it.
_PREDICTOR_STEPS = 100
# How far a replay may move the probability of a token, as a share of it.
_MAX_RATIO_CHANGE = 0.25


class ReinforceStrategy(SearchStrategy):
    """Raises the probability of tokens that were followed by high rewards.

    Parameters
    ----------
    hidden_size : int, default=64
        Units of the LSTM.
    learning_rate : float, default=0.01
        Step size of Adam.
    learning_rate_decay : float, default=0.0
        After t updates the step size is ``learning_rate / (1 + decay * t)``.
    batch_size : int or None, default=None
        Sequences an update; None for a whole round.
    discount : float, default=1.0
        Gamma of the discounted returns.
    baseline : float or 'moving_average', default='moving_average'
        Subtracted from the returns.
    entropy : float, default=0.01
        Weight of the policy's entropy in the objective.
    n_replays : int, default=20
        Steps of the policy on all trials so far, after the update of each round.
    accuracy_predictor : bool, default=True
        Whether to train the predictor, jointly with the policy.
    predictor_candidates : int, default=4
        Sequences drawn for each one proposed; the predictor picks.
    predictor_bonus : float, default=0.0
        Weight of the predictor's absolute error in the reward.

    References
    ----------
    .. [1] J. Schulman et al., "Proximal Policy Optimization Algorithms", 2017: the
       clipped ratio.
    """

    def __init__(
        self,
        *,
        hidden_size: int = 64,
        learning_rate: float = 0.01,
        learning_rate_decay: float = 0.0,
        batch_size: int | None = None,
        discount: float = 1.0,
        baseline: float | str = "moving_average",
        entropy: float = 0.01,
        n_replays: int = 20,
        accuracy_predictor: bool = True,
        predictor_candidates: int = 4,
        predictor_bonus: float = 0.0,
    ) -> None:
        self.hidden_size = hidden_size
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.batch_size = batch_size
        self.discount = discount
        self.baseline = baseline
        self.entropy = entropy
        self.n_replays = n_replays
        self.accuracy_predictor = accuracy_predictor
        self.predictor_candidates = predictor_candidates
        self.predictor_bonus = predictor_bonus

    def _setup(self, random_state: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(random_state)
        self._controller = LSTMController(self.space, self.hidden_size, self._generator)
        self._predictor: AccuracyPredictor | None = None
        if self.accuracy_predictor:
            self._predictor = AccuracyPredictor(self.hidden_size, self._generator)
        modules = [m for m in (self._controller, self._predictor) if m is not None]
        self._parameters = [p for module in modules for p in module.parameters()]
        self._optimizer = torch.optim.Adam(self._parameters, lr=self.learning_rate)
        self._n_updates = 0
        self._baseline: Baseline = (
            MovingAverageBaseline()
            if isinstance(self.baseline, str)
            else ConstantBaseline(self.baseline)
        )
        self._told: list[Architecture] = []
        self._rewards: list[float] = []
        self._report: dict[str, float] = {}

    def _tokens(self, architectures: Sequence[Architecture]) -> Tensor:
        tokens = torch.full(
            (len(architectures), self.space.max_layers),
            self.space.end_token,
            device="cpu",
        )
        for row, architecture in enumerate(architectures):
            encoded = self.space.encode(architecture)
            tokens[row, : len(encoded)] = torch.tensor(encoded, device="cpu")
        return tokens

    def _draw(self, n: int) -> list[Architecture]:
        with single_thread():
            tokens = self._controller.sample(n, self._generator)
        return [self.space.decode(row) for row in tokens.tolist()]

    def _propose(self, n: int) -> list[Architecture]:
        """Let the predictor pick from more candidates, once it has seen trials."""
        if self._predictor is None or not self._told or self.predictor_candidates == 1:
            return super()._propose(n)
        n_left = self.space.n_architectures - len(self._seen)
        candidates = super()._propose(min(n * self.predictor_candidates, n_left))
        best_first = np.argsort(-self.predict(candidates), kind="stable")
        return [candidates[index] for index in best_first[:n]]

    @torch.no_grad()
    def predict(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Predict rewards; NaN without predictor and before anything was told.

        Parameters
        ----------
        architectures : sequence of Architecture
            Architectures of the space.

        Returns
        -------
        ndarray of shape (n_architectures,)
            In the units of the rewards.
        """
        self._check_set_up("predict")
        if self._predictor is None or not self._told or not architectures:
            return super().predict(architectures)
        with single_thread():
            states = self._controller(self._tokens(architectures)).states
            predicted: np.ndarray = self._predictor(states).double().numpy()
        return predicted

    def report(self) -> dict[str, float]:
        """Return loss, entropy, advantage and gradient norm of the last update."""
        return dict(self._report)

    def _tell(
        self,
        architectures: Sequence[Architecture],
        rewards: Sequence[float],
        asked: set[Architecture],
    ) -> None:
        # The gradient is an expectation under the policy: what others proposed (the
        # first architecture) teaches the predictor alone.
        own = [
            (a, r) for a, r in zip(architectures, rewards, strict=True) if a in asked
        ]
        with single_thread(), torch.enable_grad():
            surprises = np.abs(self.predict([a for a, _ in own]) - [r for _, r in own])
            bonuses = self.predictor_bonus * np.nan_to_num(surprises)
            self._told.extend(architectures)
            self._rewards.extend(rewards)
            self._update(
                [a for a, _ in own],
                [r + bonus for (_, r), bonus in zip(own, bonuses, strict=True)],
            )
            self._replay()
            self._fit_predictor_unit()

    def _replay(self) -> None:
        """Move the policy towards the better half of all trials so far."""
        rewards = _as_tensor(self._rewards)
        deviation = rewards.std(correction=0)
        if not self.n_replays or not deviation > 0:
            return
        tokens = self._tokens(self._told)
        advantages = ((rewards - rewards.mean()) / deviation)[:, None]
        with torch.no_grad():
            before = self._controller(tokens).log_probabilities
        parameters = list(self._controller.parameters())
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate)
        low, high = 1 - _MAX_RATIO_CHANGE, 1 + _MAX_RATIO_CHANGE
        for _ in range(self.n_replays):
            policy = self._controller(tokens)
            ratios = (policy.log_probabilities - before).exp()
            gains = torch.minimum(
                ratios * advantages, ratios.clamp(low, high) * advantages
            )
            gain = torch.where(policy.is_token, gains, 0.0).sum() / len(tokens)
            entropy = policy.entropies.sum() / policy.is_token.sum()
            optimizer.zero_grad()
            (-(gain + self.entropy * entropy)).backward()
            nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
            optimizer.step()

    def _update(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Take one step on the joint loss for each batch of this round's sequences."""
        all_rewards = _as_tensor(self._rewards)
        if self._predictor is not None:
            self._predictor.set_range(all_rewards)
        all_tokens = self._tokens(self._told)
        tokens = self._tokens(architectures)
        advantages = self._advantages(_as_tensor(rewards), tokens)
        # Without sequences of its own (all came from elsewhere) one step remains.
        step = self.batch_size or len(architectures) or 1
        for start in range(0, len(architectures) or 1, step):
            batch = slice(start, start + step)
            loss = torch.zeros((), device="cpu")
            self._report = {}
            if len(tokens[batch]):
                loss, self._report = self._policy_loss(tokens[batch], advantages[batch])
            if self._predictor is not None:
                states = self._controller(all_tokens).states
                predictor_loss = self._predictor.loss(states, all_rewards)
                loss = loss + predictor_loss
                self._report["predictor_loss"] = float(predictor_loss.detach())
            if not loss.requires_grad:
                continue
            self._optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self._parameters, _MAX_GRADIENT_NORM)
            self._report["gradient_norm"] = float(norm)
            decay = 1 + self.learning_rate_decay * self._n_updates
            self._optimizer.param_groups[0]["lr"] = self.learning_rate / decay
            self._optimizer.step()
            self._n_updates += 1

    def _policy_loss(
        self, tokens: Tensor, advantages: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the negative of the objective of appendix A, and figures about it."""
        policy = self._controller(tokens)
        n_tokens = policy.is_token.sum()
        entropy = policy.entropies.sum() / n_tokens
        # maximise  sum_t  (G_t - b)  log pi(a_t | s_t)  +  entropy
        gain = (advantages * policy.log_probabilities).sum() / len(tokens)
        loss = -(gain + self.entropy * entropy)
        return loss, {
            "policy_loss": float(loss.detach()),
            "entropy": float(entropy.detach()),
            "advantage": float((advantages.sum() / n_tokens).detach()),
        }

    def _advantages(self, rewards: Tensor, tokens: Tensor) -> Tensor:
        """Return G_t - b for every token of a round, scaled to a mean square of 1.

        The reward comes with the last token, so that G_t is the reward discounted by
        the number of tokens still to come. The moving average is one of rewards, and
        is discounted like them; a number is what the user says it is.
        """
        if not len(rewards):
            return torch.zeros(tokens.shape, device="cpu")
        is_token = self._controller.is_token(tokens)
        position = is_token.cumsum(dim=1)
        discounts = self.discount ** (position[:, -1:] - position)
        baseline = self._baseline.update(rewards.tolist())
        baselines = baseline * discounts if isinstance(self.baseline, str) else baseline
        advantages = rewards[:, None] * discounts - baselines
        advantages = torch.where(is_token, advantages, 0.0)
        scale = (advantages.square().sum() / is_token.sum()).sqrt()
        return advantages / scale if scale > 1e-8 else advantages

    def _fit_predictor_unit(self) -> None:
        """Fit the predictor's own weights to the states as the update left them."""
        if self._predictor is None:
            return
        with torch.no_grad():
            states = self._controller(self._tokens(self._told)).states
        rewards = _as_tensor(self._rewards)
        optimizer = torch.optim.AdamW(
            self._predictor.parameters(), lr=self.learning_rate, weight_decay=0.1
        )
        for _ in range(_PREDICTOR_STEPS):
            optimizer.zero_grad()
            self._predictor.loss(states, rewards).backward()
            optimizer.step()


def _as_tensor(rewards: Sequence[float]) -> Tensor:
    """Convert, whatever the user's default dtype and device are."""
    return torch.tensor(rewards, dtype=torch.float32, device="cpu")
