"""A fitted estimator as a module of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sknas._model.activations import GREATEST_LOGARITHM, LEAST_LOGARITHM
from sknas._model.ensemble import FittedEnsemble, Member
from sknas._table.numbers import MAX_FLOAT32, NumberEncoder, RampEncoder
from sknas._tasks.target import KNEE, MeanScaler, TargetScaler

# Squares of it have 32 bits too, and nothing further out is squeezed otherwise.
_FAR = 1e15

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "elu": nn.functional.elu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": nn.Identity(),
}


class _Ramps(nn.Module):
    """Adds piecewise linear columns: see `RampEncoder`."""

    # Buffers, of which mypy knows no more than that they are attributes.
    columns: Tensor
    begins: Tensor
    slopes: Tensor

    def __init__(self, ramps: RampEncoder) -> None:
        super().__init__()
        self.register_buffer("columns", torch.as_tensor(ramps.columns_))
        self.register_buffer("begins", torch.as_tensor(ramps.begins_))
        self.register_buffer("slopes", torch.as_tensor(ramps.slopes_))

    def forward(self, z: Tensor) -> Tensor:
        """Return (n_rows, n_ramps) for scaled numbers of shape (n_rows, n_columns)."""
        # Each column once for each of its ramps. Missing values are in the middle.
        heights = (z[:, self.columns] - self.begins) * self.slopes
        return heights.clamp(0.0, 0.5).nan_to_num(0.25) - 0.25


class _NumberEncoding(nn.Module):
    """Scales numbers, fills in missing values: see `NumberEncoder`."""

    center: Tensor
    factor: Tensor
    indicators: Tensor

    def __init__(self, numbers: NumberEncoder) -> None:
        super().__init__()
        self.is_scaled = numbers.encoding != "passthrough"
        scaler = numbers.scaler_
        self.register_buffer("center", torch.as_tensor(scaler.center_))
        self.register_buffer("factor", torch.as_tensor(scaler.factor_))
        indicators = torch.as_tensor(numbers.indicator_columns_)
        self.register_buffer("indicators", indicators)
        self.ramps = None if numbers.ramps_ is None else _Ramps(numbers.ramps_)

    def forward(self, X: Tensor) -> Tensor:
        """Encode numbers and NaN of shape (n_rows, n_columns)."""
        is_missing = X.isnan()
        if self.is_scaled:
            z = ((X - self.center) * self.factor).clamp(-_FAR, _FAR)
            z = z / (1 + z.square() / 9).sqrt()
            # An infinite distance times zero is not a missing value.
            z = torch.where(z.isnan() & ~is_missing, 0.0, z)
        else:
            z = torch.where(is_missing, self.center, X)
            z = z.clamp(-MAX_FLOAT32, MAX_FLOAT32)
        parts = [z.nan_to_num(0.0)]
        if self.ramps is not None:
            parts.append(self.ramps(z))
        parts.append(is_missing[:, self.indicators].to(z))
        return torch.cat(parts, dim=1)


class _Network(nn.Module):
    """One member of the ensemble."""

    columns: Tensor | None

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.names = [name for _, name in member.architecture.dense_layers]
        self.layers = nn.ModuleList(
            _linear(coef, intercept)
            for coef, intercept in zip(member.coefs, member.intercepts, strict=True)
        )
        # Of skip connections, by the numbers of their layers.
        projections = {
            str(layer): _linear(coef) for layer, coef in member.projections.items()
        }
        self.skips = nn.ModuleDict(
            {
                str(layer): projections.get(str(layer), nn.Identity())
                for layer, skips in enumerate(member.architecture.skip_after)
                if skips
            }
        )
        columns = None
        if member.columns is not None:
            columns = torch.as_tensor(member.columns)
        self.register_buffer("columns", columns)

    def forward(self, encoded: Tensor) -> Tensor:
        """Return logits of shape (n_rows, n_outputs)."""
        hidden = encoded if self.columns is None else encoded[:, self.columns]
        for position, name in enumerate(self.names):
            before = hidden
            hidden = _ACTIVATIONS[name](self.layers[position](before))
            if str(position) in self.skips:
                hidden = hidden + self.skips[str(position)](before)
        logits: Tensor = self.layers[-1](hidden)
        return logits


def _linear(coef: np.ndarray, intercept: np.ndarray | None = None) -> nn.Linear:
    """Make a layer of weights (n_in, n_out); its own are drawn from no generator."""
    layer: nn.Linear = nn.utils.skip_init(
        nn.Linear,
        *coef.shape,
        bias=intercept is not None,
        dtype=torch.float64,
        device="cpu",
    )
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(coef.T.copy()))
        if intercept is not None:
            layer.bias.copy_(torch.as_tensor(intercept.copy()))
    return layer


class _TargetScaling(nn.Module):
    """Brings predicted numbers to the scale of the targets: see `TargetScaler`."""

    center: Tensor
    scale: Tensor
    mean: Tensor
    deviation: Tensor
    lowest: Tensor
    highest: Tensor
    ends: Tensor

    def __init__(self, scaler: TargetScaler) -> None:
        super().__init__()
        for name in ("center", "scale", "mean", "deviation", "lowest", "highest"):
            self.register_buffer(name, torch.as_tensor(getattr(scaler, f"{name}_")))
        ends = scaler.transform(np.stack([scaler.lowest_, scaler.highest_]))
        self.register_buffer("ends", torch.as_tensor(ends))

    def forward(self, scaled: Tensor) -> Tensor:
        """Return numbers of shape (n_rows, n_targets)."""
        clipped = torch.clamp(scaled, self.ends[0], self.ends[1])
        compressed = clipped * self.deviation + self.mean
        distance = compressed.abs().clamp_min(KNEE)
        far = compressed.sign() * KNEE * torch.exp(distance / KNEE - 1)
        z = torch.where(compressed.abs() > KNEE, far, compressed)
        return torch.clamp(z * self.scale + self.center, self.lowest, self.highest)


class _MeanScaling(nn.Module):
    """Brings predicted means to the scale of the targets: see `MeanScaler`."""

    scale: Tensor
    highest: Tensor

    def __init__(self, scaler: MeanScaler) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(scaler.scale_))
        self.register_buffer("highest", torch.as_tensor(scaler.highest_))

    def forward(self, scaled: Tensor) -> Tensor:
        """Return numbers of shape (n_rows, n_targets)."""
        numbers = torch.minimum(scaled, self.highest / self.scale) * self.scale
        return torch.minimum(numbers, self.highest)


def _scaling(scaler: TargetScaler | MeanScaler) -> nn.Module:
    if isinstance(scaler, MeanScaler):
        return _MeanScaling(scaler)
    return _TargetScaling(scaler)


class TorchEstimator(nn.Module):
    """What a fitted estimator computes, as a module of PyTorch.

    Its parameters are the weights of all members of the ensemble; its buffers hold the
    numbers of the preprocessing and the temperature. Everything has 64 bits, and the
    results are those of the estimator within 1e-6; ``module.float()`` makes it smaller
    and faster. Dropout is left out.

    Parameters
    ----------
    ensemble : FittedEnsemble
        The networks.
    numbers : NumberEncoder or None
        How the columns of the table are encoded. None for a module that takes the
        encoded table.
    target_scaler : TargetScaler, MeanScaler or None
        Of numbers that are predicted; None where classes or labels are.
    """

    weights: Tensor
    temperature: Tensor

    def __init__(
        self,
        ensemble: FittedEnsemble,
        numbers: NumberEncoder | None,
        target_scaler: TargetScaler | MeanScaler | None,
    ) -> None:
        super().__init__()
        self.out_activation = ensemble.out_activation
        self.encoding = None if numbers is None else _NumberEncoding(numbers)
        members: Sequence[Member] = ensemble.members
        self.networks = nn.ModuleList(_Network(member) for member in members)
        weights = torch.tensor([m.weight for m in members], dtype=torch.float64)
        self.register_buffer("weights", weights / weights.sum())
        temperature = torch.tensor(ensemble.temperature, dtype=torch.float64)
        self.register_buffer("temperature", temperature)
        self.target = None if target_scaler is None else _scaling(target_scaler)

    def forward(self, X: Tensor) -> Tensor:
        """Predict.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_columns)
            The table, of the module's dtype, NaN where a value is missing; or what
            ``encoder_.transform`` makes of it, if it has columns that are not numbers.

        Returns
        -------
        Tensor of shape (n_rows, n_outputs)
            Probabilities, one column for each class or label; or numbers.
        """
        encoded = X if self.encoding is None else self.encoding(X)
        # Shape (n_members, n_rows, n_outputs).
        logits = torch.stack([network(encoded) for network in self.networks])
        if self.target is not None:
            if self.out_activation == "exp":
                logits = logits.clamp(LEAST_LOGARITHM, GREATEST_LOGARITHM).exp()
            numbers: Tensor = self.target(torch.tensordot(self.weights, logits, dims=1))
            return numbers
        log_p = self._log_probabilities(logits)
        # Averages of probabilities, whose logarithms the temperature divides.
        shares = self.weights.log().reshape(-1, *[1] * (log_p.ndim - 1))
        pooled = torch.logsumexp(log_p + shares, dim=0)
        p = torch.softmax(pooled / self.temperature, dim=-1)
        # Of each label, the probability of a yes.
        return p[..., 1] if p.ndim == 3 else p

    def _log_probabilities(self, logits: Tensor) -> Tensor:
        if self.out_activation == "softmax":
            return torch.log_softmax(logits, dim=-1)
        # Shape (n_members, n_rows, n_outputs, 2): a softmax over a fixed 0 and z.
        both = torch.stack([torch.zeros_like(logits), logits], dim=-1)
        log_p = torch.log_softmax(both, dim=-1)
        return log_p[..., 0, :] if logits.shape[-1] == 1 else log_p
