"""How the policy learns: REINFORCE, replays, and the predictor (appendix A, 4.2).

A search has a few rounds, and one step on the gradient of one round hardly moves a
policy. Hence the replays: after each update the policy takes further steps on all
trials so far. Both minimise one loss, with the same rewards, discount, baseline,
learning rate and optimiser. A replay differs in two ways: it takes all trials, and
holds the policy near to where the replays began.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknas._device import single_thread
from sknas._search.strategies.baselines import moving_average_baseline
from sknas._search.strategies.controller import LSTMController, PolicyOutput
from sknas._search.strategies.predictor import AccuracyPredictor, RewardScale
from sknas._space import Architecture, SearchSpace

_MAX_GRADIENT_NORM = 5.0
# How far the replays of a round may move the probability of a token, as a share of it.
_MAX_RATIO_CHANGE = 0.25
# Advantages below this, in units of the largest reward, are rounding errors.
_NO_ADVANTAGE = 1e-12


@dataclass(frozen=True)
class LearnerSettings:
    """The parameters of `ReinforceStrategy` that concern learning, by their names."""

    hidden_size: int
    n_layers: int
    learning_rate: float
    learning_rate_decay: float
    batch_size: int | None
    discount: float
    baseline: float | str
    entropy: float
    n_replays: int
    accuracy_predictor: bool
    predictor_bonus: float


@contextmanager
def _own_torch_modes() -> Iterator[None]:
    """Compute with one thread and with gradients, whatever the caller's modes are."""
    with single_thread(), torch.inference_mode(False), torch.enable_grad():
        yield


class PolicyLearner:
    """A policy, the predictor beside it, and the memory of all trials.

    Parameters
    ----------
    space : SearchSpace
        Whose architectures the policy writes.
    settings : LearnerSettings
        How it learns.
    seed : int
        Of the initial weights and of the draws.
    """

    def __init__(
        self, space: SearchSpace, settings: LearnerSettings, seed: int
    ) -> None:
        self._space = space
        self._settings = settings
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._predictor: AccuracyPredictor | None = None
        with _own_torch_modes():
            size = settings.hidden_size
            self.controller = LSTMController(
                space, size, self._generator, settings.n_layers
            )
            self._parameters = list(self.controller.parameters())
            if settings.accuracy_predictor:
                self._predictor = AccuracyPredictor(size, self._generator)
                self._parameters += self._predictor.parameters()
            self._optimizer = torch.optim.Adam(
                self._parameters, lr=settings.learning_rate
            )
            self._tokens = self.tokens([])  # (n_trials, max_layers)
        self._n_updates = 0
        # One value for each trial that was told, in the order of `_tokens`.
        self._rewards = np.zeros(0)
        self._bonuses = np.zeros(0)
        self.report: dict[str, float] = {}

    @property
    def predicts(self) -> bool:
        """Whether there is a predictor that has seen trials."""
        return self._predictor is not None and len(self._rewards) > 0

    def tokens(self, architectures: Sequence[Architecture]) -> Tensor:
        """Return the tokens of architectures, of shape (n, max_layers)."""
        # What follows the end of a sequence is filled with end tokens.
        tokens = torch.full(
            (len(architectures), self._space.max_layers),
            self._space.end_token,
            device="cpu",
        )
        for row, architecture in enumerate(architectures):
            encoded = self._space.encode(architecture)
            tokens[row, : len(encoded)] = torch.tensor(encoded, device="cpu")
        return tokens

    def draw(self, n: int) -> list[Architecture]:
        """Draw ``n`` architectures from the policy; raise if it has become NaN."""
        with single_thread():
            try:
                tokens = self.controller.sample(n, self._generator)
            except FloatingPointError as error:
                raise ValueError(
                    "The policy of ReinforceStrategy became NaN. Decrease "
                    f"learning_rate (currently {self._settings.learning_rate})."
                ) from error
        return [self._space.decode(row) for row in tokens.tolist()]

    def predict(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Predict rewards of shape (n,): NaN without trials or without predictor."""
        return self._predict(self.tokens(architectures))

    @torch.no_grad()
    def _predict(self, tokens: Tensor) -> np.ndarray:
        if self._predictor is None or not self.predicts or not len(tokens):
            return np.full(len(tokens), np.nan)
        with single_thread():
            shares = self._predictor(self.controller(tokens).states)
        return RewardScale(self._rewards).to_rewards(shares)

    def learn(
        self,
        architectures: Sequence[Architecture],
        rewards: Sequence[float],
        is_own: Sequence[bool],
    ) -> None:
        """Remember the trials of a round and learn from all that there are.

        Parameters
        ----------
        architectures : sequence of Architecture
            What was tried.
        rewards : sequence of float
            One finite number each.
        is_own : sequence of bool
            Whether the policy drew it. The gradient of an update is an expectation
            under the policy: what others proposed is for the replays and the predictor.
        """
        n_before = len(self._rewards)
        with _own_torch_modes():
            self._remember(architectures, np.asarray(rewards, dtype=np.float64))
            advantages = self._advantages()
            if advantages.any():  # else Adam would step on the entropy alone
                self._renew_optimizer()
                self._update(n_before + np.flatnonzero(is_own), advantages)
                self._replay(advantages)
                self._fit_predictor()

    def learn_and_forget(
        self, architectures: Sequence[Architecture], rewards: Sequence[float]
    ) -> None:
        """Take a step on rewards that are not comparable with any others.

        Parameters
        ----------
        architectures : sequence of Architecture
            What the policy has just drawn.
        rewards : sequence of float
            One finite number each, measured alike.
        """
        kept = self._tokens, self._rewards, self._bonuses
        self._tokens, self._rewards = self._tokens[:0], self._rewards[:0]
        self._bonuses = self._bonuses[:0]
        try:
            self.learn(architectures, rewards, [True] * len(architectures))
        finally:
            self._tokens, self._rewards, self._bonuses = kept

    def _remember(
        self, architectures: Sequence[Architecture], rewards: np.ndarray
    ) -> None:
        tokens = self.tokens(architectures)
        # What the predictor got wrong before it was told; nothing in the first round.
        with np.errstate(over="ignore"):
            errors = np.nan_to_num(np.abs(self._predict(tokens) - rewards))
            bonuses = np.nan_to_num(self._settings.predictor_bonus * errors)
        self._tokens = torch.cat([self._tokens, tokens])
        self._rewards = np.append(self._rewards, rewards)
        self._bonuses = np.append(self._bonuses, bonuses)

    def _advantages(self) -> Tensor:
        """Return G_t - b of every token so far, scaled to a mean square of 1.

        The reward comes with the last token, so that G_t is the reward discounted by
        the number of tokens still to come. A sequence that has ended keeps its reward,
        so that later steps have a baseline too. Of shape (n_trials, max_layers), zero
        after a sequence's end.
        """
        settings = self._settings
        is_token = self.controller.is_token(self._tokens).numpy()
        # Tokens still to come at each step, 0 from the end on: (n_trials, max_layers).
        to_come = is_token.sum(axis=1, keepdims=True) - is_token.cumsum(axis=1)
        # In units of the largest number: sums and squares of huge ones are infinite.
        constant = None if isinstance(settings.baseline, str) else settings.baseline
        numbers = np.abs([*self._rewards, *self._bonuses, constant or 0.0])
        unit = float(numbers.max()) or 1.0
        rewards = self._rewards / unit + self._bonuses / unit
        returns = rewards[:, None] * settings.discount**to_come
        baseline = (
            moving_average_baseline(returns) if constant is None else constant / unit
        )
        # What comes after the end is no action and has no advantage.
        advantages = np.where(is_token, returns - baseline, 0.0)
        scale = np.sqrt(np.square(advantages).sum() / is_token.sum())
        advantages = advantages / scale if scale > _NO_ADVANTAGE else 0.0 * advantages
        return torch.tensor(advantages, dtype=torch.float32, device="cpu")

    def _renew_optimizer(self) -> None:
        """Let Adam begin anew where a round is an optimisation of many steps.

        Every round has other advantages, and the large gradients of the first would
        keep the steps of later ones small. Without replays a round is one step, and
        Adam goes on from round to round, as in the paper.
        """
        if self._settings.n_replays:
            rate = self._optimizer.param_groups[0]["lr"]
            self._optimizer = torch.optim.Adam(self._parameters, lr=rate)

    def _update(self, own: np.ndarray, advantages: Tensor) -> None:
        """Take a step for each batch of the trials that the policy drew this round."""
        settings = self._settings
        size = settings.batch_size or max(len(own), 1)
        for start in range(0, len(own), size):
            # Positions of the batch among all trials: (n_sequences,).
            rows = torch.from_numpy(own[start : start + size])
            decay = 1 + settings.learning_rate_decay * self._n_updates
            self._optimizer.param_groups[0]["lr"] = settings.learning_rate / decay
            policy = self.controller(self._tokens)
            self.report = self._step(policy, advantages, rows)
            self._n_updates += 1

    def _replay(self, advantages: Tensor) -> None:
        """Take more such steps on all trials, at the learning rate of the update.

        They are weighted likelihood, not a policy gradient: the trials were drawn by
        earlier policies, or by others. Hence the trust region: a token pulls only until
        its probability has changed by a quarter in the direction of its advantage.
        """
        rows = torch.arange(len(self._tokens), device="cpu")
        before: Tensor | None = None  # (n_trials, max_layers)
        for _ in range(self._settings.n_replays):
            policy = self.controller(self._tokens)
            now = policy.log_probabilities.detach()
            before = now if before is None else before
            # pi_now / pi_before of each token; once it has moved far enough, an
            # advantage of 0 takes the token out of the gradient.
            ratios = (now - before).exp()
            has_moved = torch.where(
                advantages > 0,
                ratios > 1 + _MAX_RATIO_CHANGE,
                ratios < 1 - _MAX_RATIO_CHANGE,
            )
            self._step(policy, advantages.masked_fill(has_moved, 0.0), rows)

    def _step(
        self, policy: PolicyOutput, advantages: Tensor, rows: Tensor
    ) -> dict[str, float]:
        """Take one step on the joint loss and return figures about it.

        The policy learns from the trials of some rows, the predictor from all.
        """
        # Both losses come from one pass of the LSTM, and both train it.
        loss, report = self.policy_loss(policy, advantages, rows)
        if self._predictor is not None:
            predictor_loss = self._predictor.loss(policy.states, self._shares())
            loss = loss + predictor_loss
            report["predictor_loss"] = predictor_loss.item()
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, _MAX_GRADIENT_NORM)
        self._optimizer.step()
        return {**report, "gradient_norm": norm.item()}

    def policy_loss(
        self, policy: PolicyOutput, advantages: Tensor, rows: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the negative of the objective of appendix A, and figures about it.

        Parameters
        ----------
        policy : PolicyOutput
            Of all trials.
        advantages : Tensor of shape (n_trials, max_layers)
            G_t - b, scaled.
        rows : Tensor of shape (n_sequences,)
            The trials to average over.

        Returns
        -------
        loss : Tensor of shape ()
            Differentiable.
        report : dict of str to float
            The loss, and entropy and advantage per token.
        """
        # Entropies and log-probabilities are 0 after the end: sums are over tokens.
        n_tokens = policy.is_token[rows].sum()
        entropy = policy.entropies[rows].sum() / n_tokens
        # maximise  sum_t  (G_t - b)  log pi(a_t | s_t)  +  entropy
        gain = (advantages * policy.log_probabilities)[rows].sum() / len(rows)
        loss = -(gain + self._settings.entropy * entropy)
        return loss, {
            "policy_loss": loss.item(),
            "entropy": entropy.item(),
            "advantage": (advantages[rows].sum() / n_tokens).item(),
        }

    def _shares(self) -> Tensor:
        """Return what the predictor is taught: rewards without bonus, (n_trials,)."""
        return RewardScale(self._rewards).shares()

    def _fit_predictor(self) -> None:
        """Fit the predictor's own weights to the states as the steps left them."""
        if self._predictor is None:
            return
        with torch.no_grad():
            states = self.controller(self._tokens).states
        learning_rate = self._optimizer.param_groups[0]["lr"]
        self._predictor.fit(states, self._shares(), learning_rate)
