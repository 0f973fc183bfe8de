"""A guess at a reward from the tokens alone (paper 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_INITIAL_BOUND = 0.1


class AccuracyPredictor(nn.Module):
    """One dense sigmoid unit on the controller's state after the last token.

    It has no recurrent weights of its own: its loss trains the controller's LSTM too.

    The unit answers between 0 and 1 and is stretched to the range of the rewards seen,
    since the rewards of a search lie close together and a metric may be negative.

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
        self._low, self._high = 0.0, 1.0

    def set_range(self, rewards: Tensor) -> None:
        """Stretch the unit over the rewards seen, with a margin of a tenth.

        Parameters
        ----------
        rewards : Tensor of shape (n_trials,)
            All rewards so far.
        """
        low, high = float(rewards.min()), float(rewards.max())
        margin = 0.1 * (high - low) or 0.1
        self._low, self._high = low - margin, high + margin

    def forward(self, states: Tensor) -> Tensor:
        """Predict the rewards.

        Parameters
        ----------
        states : Tensor of shape (n_sequences, hidden_size)
            The LSTM after the last token.

        Returns
        -------
        Tensor of shape (n_sequences,)
            In the units of the rewards.
        """
        shares: Tensor = torch.sigmoid(self.unit(states)[:, 0])
        predicted: Tensor = self._low + (self._high - self._low) * shares
        return predicted

    def loss(self, states: Tensor, rewards: Tensor) -> Tensor:
        """Return the mean squared error, as a share of the squared range.

        Parameters
        ----------
        states : Tensor of shape (n_trials, hidden_size)
            The LSTM after the last token.
        rewards : Tensor of shape (n_trials,)
            What was measured.

        Returns
        -------
        Tensor of shape ()
            Differentiable.
        """
        errors: Tensor = (self(states) - rewards) / (self._high - self._low)
        return errors.square().mean()
