"""A guess at a reward from the tokens alone (paper 4.2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

_INITIAL_BOUND = 0.1
# Margin beyond the observed rewards, as a share of their range, or of their size if
# they are all equal: a sigmoid never reaches its ends.
_MARGIN = 0.1
_FIT_STEPS = 100
_FIT_WEIGHT_DECAY = 0.1


class RewardScale:
    """Maps the range of the rewards seen, and a margin, to the numbers from 0 to 1.

    Rewards of a search lie close together, may be negative and may be larger than
    float32 holds: everything here is float64.

    Parameters
    ----------
    rewards : ndarray of shape (n_trials,)
        All rewards so far, of any finite size.
    """

    def __init__(self, rewards: np.ndarray) -> None:
        # In units of the largest, since a difference of huge numbers is infinite.
        self._unit = float(np.abs(rewards).max()) or 1.0
        low, high = rewards.min() / self._unit, rewards.max() / self._unit
        margin = _MARGIN * ((high - low) or 1.0)
        self._low, self._width = low - margin, high - low + 2 * margin

    def to_shares(self, rewards: np.ndarray) -> Tensor:
        """Return float32 shares of the range, of the shape of the rewards."""
        shares = (rewards / self._unit - self._low) / self._width
        return torch.tensor(shares, dtype=torch.float32, device="cpu")

    def to_rewards(self, shares: Tensor) -> np.ndarray:
        """Return rewards of the shape of the shares."""
        rewards = self._low + self._width * shares.double().numpy()
        # The margin may reach beyond the largest float.
        with np.errstate(over="ignore"):
            return np.asarray(np.nan_to_num(rewards * self._unit, nan=np.nan))


class AccuracyPredictor(nn.Module):
    """One dense sigmoid unit on the controller's state after the last token.

    It has no recurrent weights of its own: its loss trains the controller's LSTM too.
    It answers in shares of the range of rewards (`RewardScale`).

    Parameters
    ----------
    hidden_size : int
        Units of the controller's LSTM.
    generator : torch.Generator
        Source of the initial weights.
    """

    def __init__(self, hidden_size: int, generator: torch.Generator) -> None:
        super().__init__()
        # Made without values: the layer's own would come from the global RNG.
        self.unit = nn.Linear(hidden_size, 1, device="meta", dtype=torch.float32)
        self.to_empty(device="cpu")
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-_INITIAL_BOUND, _INITIAL_BOUND, generator=generator)

    def forward(self, states: Tensor) -> Tensor:
        """Predict rewards as shares of their range.

        Parameters
        ----------
        states : Tensor of shape (n_sequences, hidden_size)
            The LSTM after the last token.

        Returns
        -------
        Tensor of shape (n_sequences,)
            Between 0 and 1.
        """
        shares: Tensor = torch.sigmoid(self.unit(states)[:, 0])
        return shares

    def loss(self, states: Tensor, shares: Tensor) -> Tensor:
        """Return the mean squared error.

        Parameters
        ----------
        states : Tensor of shape (n_trials, hidden_size)
            The LSTM after the last token.
        shares : Tensor of shape (n_trials,)
            What was measured, as shares of the range.

        Returns
        -------
        Tensor of shape ()
            Differentiable.
        """
        squared: Tensor = (self(states) - shares).square()
        return squared.mean()

    def fit(self, states: Tensor, shares: Tensor, learning_rate: float) -> None:
        """Fit the unit alone to states that stay as they are.

        A regression of a few weights, which costs next to nothing. It leaves the LSTM,
        and so the policy, where it is.

        Parameters
        ----------
        states : Tensor of shape (n_trials, hidden_size)
            The LSTM after the last token.
        shares : Tensor of shape (n_trials,)
            What was measured, as shares of the range.
        learning_rate : float
            Step size of AdamW.
        """
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=learning_rate, weight_decay=_FIT_WEIGHT_DECAY
        )
        for _ in range(_FIT_STEPS):
            optimizer.zero_grad()
            self.loss(states.detach(), shares).backward()
            optimizer.step()
