"""A guess at a reward from the tokens alone (paper 4.2)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

_INITIAL_BOUND = 0.1
_FIT_STEPS = 100
_FIT_WEIGHT_DECAY = 0.1


class RewardScale:
    """Maps the rewards seen to their ranks, as shares between 0 and 1.

    A few bad architectures have rewards far below all others. With shares of the range,
    these would be told apart from the rest, and the good ones hardly from one another.

    Parameters
    ----------
    rewards : ndarray of shape (n_trials,)
        All rewards so far, of any finite size.
    """

    def __init__(self, rewards: np.ndarray) -> None:
        # Of equal ones the mean rank. The middle of a rank's share: a sigmoid never
        # reaches 0 or 1.
        self._shares = (rankdata(rewards) - 0.5) / len(rewards)
        # In units of the largest, since a difference of huge numbers is infinite.
        self._unit = float(np.abs(rewards).max()) or 1.0
        self._rewards = rewards / self._unit

    def shares(self) -> Tensor:
        """Return the float32 shares of the rewards, of shape (n_trials,)."""
        return torch.tensor(self._shares, dtype=torch.float32, device="cpu")

    def to_rewards(self, shares: Tensor) -> np.ndarray:
        """Return the rewards at some shares; beyond the least and the greatest, these.

        Parameters
        ----------
        shares : Tensor of shape (n,)
            Between 0 and 1, or NaN.
        """
        order = np.argsort(self._shares, kind="stable")
        known = self._rewards[order]
        rewards = np.interp(shares.double().numpy(), self._shares[order], known)
        return np.asarray(rewards * self._unit)


class AccuracyPredictor(nn.Module):
    """One dense sigmoid unit on the controller's state after the last token.

    It has no recurrent weights of its own: its loss trains the controller's LSTM too.
    It answers with the share of the trials so far that have less (`RewardScale`).

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
        """Predict the ranks of rewards, as shares of the trials.

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
            What was measured, as shares of the trials.

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
            What was measured, as shares of the trials.
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
