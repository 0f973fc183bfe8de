"""Progressive search: from simple to complex, screened by surrogates (paper 2.2.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, TypeAlias

import numpy as np
from scipy.special import ndtri

from sknas._search.strategies.base import SearchStrategy
from sknas._sklearn import Interval
from sknas._space import Architecture, Proposed, SearchSpace, as_proposal
from sknas._space.mutation import neighbours

# An architecture without its end token: what one more token extends.
_Tokens: TypeAlias = tuple[int, ...]

# Penalty of the squared weights of a ridge regression, of about as many rows as there
# are trials and features that lie between -1 and 1.
_PENALTY = 3.0
# Where a layer stands says less than what it is: smaller features are penalised more.
# Regret on the lookup tables of 15 epochs with 0.25, 0.5, 0.75 and 1, relative to that
# of a random search: noisy .86, .75, .68, .66, digits .49, .47, .46, .44.
_POSITION_SCALE = 0.75


class ProgressiveStrategy(SearchStrategy):
    """Extends good architectures by one token at a time.

    The method of [1]_, section 2.2.2 of the paper, for multilayer perceptrons: it goes
    from the simple to the complex. Of every length, `beam_size` architectures are
    tried: extensions, by a dense layer, dropout or a skip connection, of the
    `beam_size` best of the length before. Surrogates, which have learned from all
    trials so far, choose among the extensions. After the last length they choose among
    all that is one step away from the best, and what they find themselves when they
    extend a beam that is not tried. This is ``search_strategy='progressive'``.

    Read more in the :ref:`user guide <progressive>`.

    Parameters
    ----------
    beam_size : int, default=2
        Architectures of each length that are tried before longer ones, and of which
        extensions are made. A round may hold several lengths, and a length may take
        several rounds.

    n_surrogates : int, default=5
        Ridge regressions of the rank of a reward on features of the architecture, each
        of its own bootstrap sample of the trials.

    exploration : float, default=1.0
        Weight of the standard deviation of the surrogates, which is added to their mean
        where one chooses what to try. 0 relies on the mean.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the bootstrap samples, and of the order of what promises the same.

    See Also
    --------
    RandomStrategy : Learns nothing.
    ReinforceStrategy : The method of the paper.

    References
    ----------
    .. [1] C. Liu et al., "Progressive Neural Architecture Search", ECCV, 2018.

    Examples
    --------
    >>> from sknas import ProgressiveStrategy, SearchSpace
    >>> strategy = ProgressiveStrategy()
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=4), random_state=0)
    >>> [len(architecture.layers) for architecture in strategy.ask(6)]
    [1, 1, 2, 2, 3, 3]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beam_size": [Interval(Integral, 1, None, closed="left")],
        "n_surrogates": [Interval(Integral, 1, None, closed="left")],
        "exploration": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, *, beam_size: int = 2, n_surrogates: int = 5, exploration: float = 1.0
    ) -> None:
        self.beam_size = beam_size
        self.n_surrogates = n_surrogates
        self.exploration = exploration

    def begin(self) -> None:
        """Begin without trials, and so without surrogates."""
        # One entry for each trial that was told.
        self._trials: list[_Tokens] = []
        self._rewards: list[float] = []
        self._features = ArchitectureFeatures(self.space_)
        self._surrogates: RidgeEnsemble | None = None
        # The best of a search stay the best for some rounds.
        self._neighbours: dict[_Tokens, list[_Tokens]] = {}

    def draw(self, n: int) -> list[Architecture]:
        """Choose extensions of what was good, or neighbours, as the surrogates rank.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Different ones that were not tried. Fewer than ``n`` where the surrogates
            have nowhere to go.
        """
        # A dict is a set that keeps its order.
        tried = dict.fromkeys(self._trials)
        drawn: list[_Tokens] = []
        while len(drawn) < n:
            extensions = self._extensions_of_next_length(tried)
            # One at a time, since it may complete the length.
            best = (
                self._best(extensions, 1, self.exploration)
                if extensions
                else self._best(self._frontier(tried), n - len(drawn), self.exploration)
            )
            if not best:
                break
            drawn += best
            tried.update(dict.fromkeys(best))
        return [self.space_.decode(tokens) for tokens in drawn]

    def learn(
        self, architectures: Sequence[Proposed], rewards: Sequence[float]
    ) -> None:
        """Fit the surrogates to all trials so far.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            What was tried in a round. Settings and epochs are passed over.
        rewards : sequence of float
            One finite number each.
        """
        self._trials += map(self._tokens, architectures)
        self._rewards += map(float, rewards)
        self._surrogates = RidgeEnsemble(
            self._features(self._trials),
            np.array(self._rewards),
            n_members=int(self.n_surrogates),
            generator=self.generator_,
        )

    def predict(self, architectures: Sequence[Proposed]) -> np.ndarray:
        """Predict rewards by the mean of the surrogates; NaN before any was told.

        Parameters
        ----------
        architectures : sequence of Architecture, Candidate or Proposal
            Architectures of the space. Settings and epochs are passed over.

        Returns
        -------
        ndarray of shape (n_architectures,)
            In the units of the rewards, and within their range so far.
        """
        self._check_set_up("predict")
        if self._surrogates is None or not len(architectures):
            return np.full(len(architectures), np.nan)
        features = self._features([self._tokens(each) for each in architectures])
        return self._surrogates.predict(features)

    def _tokens(self, proposed: Proposed) -> _Tokens:
        """Write an architecture as tokens, without settings and without the end."""
        return self.space_.encode(as_proposal(proposed).candidate.architecture)[:-1]

    def _extensions_of_next_length(self, tried: Collection[_Tokens]) -> list[_Tokens]:
        """Return what is to be tried of the first length that is not complete.

        A length is complete with `beam_size` architectures, whoever proposed them, and
        if the beam before it has no other extension. Empty if all are.
        """
        beam: list[_Tokens] = [()]
        for length in range(1, self.space_.max_layers):
            of_length = [tokens for tokens in tried if len(tokens) == length]
            if len(of_length) < self.beam_size:
                extended = self._extend(beam)
                untried = [tokens for tokens in extended if tokens not in tried]
                if untried:
                    return untried
            # Those of this round have no reward yet, and are ranked all the same.
            beam = self._best(of_length, self.beam_size)
        return []

    def _frontier(self, tried: Collection[_Tokens]) -> list[_Tokens]:
        """Return what is untried around the best, of all lengths."""
        found: dict[_Tokens, None] = {}
        beam: list[_Tokens] = [()]
        for length in range(1, self.space_.max_layers):
            extended = self._extend(beam)
            found.update(dict.fromkeys(extended))
            # The best of a length need not be an extension of the best before it.
            of_length = [tokens for tokens in tried if len(tokens) == length]
            beam = self._best(dict.fromkeys(extended + of_length), self.beam_size)
        for tokens in self._best(tried, self.beam_size):
            found.update(dict.fromkeys(self._neighbours_of(tokens)))
        return [tokens for tokens in found if tokens not in tried]

    def _extend(self, beam: Iterable[_Tokens]) -> list[_Tokens]:
        """Return all that is one token longer, of tokens that are not yet full."""
        extended = [
            (*tokens, token)
            for tokens in beam
            for token in self.space_.next_layers(tokens)
        ]
        if not self.space_.is_restricted:
            return extended
        decode = self.space_.decode
        return [tokens for tokens in extended if decode(tokens) in self.space_]

    def _neighbours_of(self, tokens: _Tokens) -> list[_Tokens]:
        if tokens not in self._neighbours:
            of_kinds = neighbours(self.space_.decode(tokens), self.space_)
            self._neighbours[tokens] = [
                self._tokens(each) for of_kind in of_kinds.values() for each in of_kind
            ]
        return self._neighbours[tokens]

    def _best(
        self, sequences: Collection[_Tokens], n: int, exploration: float = 0.0
    ) -> list[_Tokens]:
        """Return the ``n`` most promising, best first; any, before there are trials."""
        listed = list(sequences)
        shuffled = [listed[i] for i in self.generator_.permutation(len(listed))]
        if self._surrogates is None or not listed:
            return shuffled[:n]
        mean, deviation = self._surrogates.score(self._features(shuffled))
        # Stable, so that equal ones stay in random order.
        best_first = np.argsort(-(mean + exploration * deviation), kind="stable")
        return [shuffled[i] for i in best_first[:n]]


class ArchitectureFeatures:
    """Describes architectures by numbers, most of them between -1 and 1.

    Each layer has a width, on a logarithmic scale, an activation, and whether it is
    dense, dropout or a skip connection. Features are the depth, the share of dropout,
    the least, greatest and last width, the logarithm of the number of weights between
    hidden layers, means over the dense layers, the first layer, and every layer at its
    place.

    Parameters
    ----------
    space : SearchSpace
        Whose architectures are described.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._length, self._end = space.max_layers - 1, space.end_token
        self._widths = np.array(
            [0.0 if isinstance(layer, str) else layer[0] for layer in space.vocabulary]
        )
        is_dense = self._widths > 0
        low, high = np.log(min(space.layer_widths)), np.log(max(space.layer_widths))
        logs = np.log(np.where(is_dense, self._widths, 1.0))
        scaled = 2 * (logs - low) / ((high - low) or 1.0) - 1
        activations = [
            [
                not isinstance(layer, str) and layer[1] == name
                for layer in space.vocabulary
            ]
            for name in space.activations
        ]
        is_dropout = np.arange(space.n_tokens) == space.dropout_token
        is_skip = np.arange(space.n_tokens) == space.skip_token
        # One row a token: dense, dropout, width, one column an activation, and one for
        # skip connections if the space has any.
        columns = [is_dense, is_dropout, np.where(is_dense, scaled, 0.0), *activations]
        self._table = np.column_stack(
            [*columns, is_skip] if space.skip else columns
        ).astype(np.float64)

    def __call__(self, sequences: Sequence[_Tokens]) -> np.ndarray:
        """Return features of shape (n_sequences, n_features)."""
        tokens = np.array(
            [[*each, *[self._end] * (self._length - len(each))] for each in sequences]
        )
        layers = self._table[tokens]  # (n_sequences, length, columns of the table)
        n_dense, n_dropout = layers[:, :, :2].sum(axis=1).T
        means = layers[:, :, 1:].sum(axis=1) / n_dense[:, None]
        in_place = _POSITION_SCALE * layers.reshape(len(tokens), -1)
        return np.column_stack(
            [
                n_dense / self._length,
                n_dropout / self._length,
                *self._of_widths(tokens, n_dense.astype(int)),
                means,
                layers[:, 0, 2:],
                in_place,
            ]
        )

    def _of_widths(self, tokens: np.ndarray, n_dense: np.ndarray) -> list[np.ndarray]:
        """Return least, greatest and last width, and the size; each (n_sequences,)."""
        # Dense layers first, in their order.
        order = np.argsort(self._widths[tokens] == 0, axis=1, kind="stable")
        tokens = np.take_along_axis(tokens, order, axis=1)
        scaled, widths = self._table[tokens, 2], self._widths[tokens]
        is_dense = widths > 0
        widest = self._widths.max()
        n_weights = (widths[:, :-1] * widths[:, 1:]).sum(axis=1)
        return [
            np.where(is_dense, scaled, 1.0).min(axis=1),
            np.where(is_dense, scaled, -1.0).max(axis=1),
            scaled[np.arange(len(tokens)), n_dense - 1],
            # 0 for one layer, about 1 for two of the widest.
            np.log1p(n_weights / widest) / np.log1p(widest),
        ]


class RidgeEnsemble:
    """Ridge regressions of the ranks of rewards, each of a bootstrap sample.

    Ranks are mapped to quantiles of a normal distribution: rewards of any size teach
    the same, and a network that failed is no outlier.

    Parameters
    ----------
    features : ndarray of shape (n_trials, n_features)
        Of all trials.
    rewards : ndarray of shape (n_trials,)
        Of any finite size.
    n_members : int
        How many regressions.
    generator : numpy.random.Generator
        Source of the bootstrap samples.

    Attributes
    ----------
    targets : ndarray of shape (n_trials,)
        The quantiles that stand for the rewards.
    """

    def __init__(
        self,
        features: np.ndarray,
        rewards: np.ndarray,
        *,
        n_members: int,
        generator: np.random.Generator,
    ) -> None:
        distinct, which, counts = np.unique(
            rewards, return_inverse=True, return_counts=True
        )
        # Equal rewards share the mean of their ranks.
        shares = (np.cumsum(counts) - counts / 2) / len(rewards)
        self._quantiles, self._distinct = ndtri(shares), distinct
        self.targets = self._quantiles[which]
        samples = generator.integers(len(rewards), size=(n_members, len(rewards)))
        members = [_ridge(features[rows], self.targets[rows]) for rows in samples]
        self._weights = np.array([weights for weights, _ in members])
        self._intercepts = np.array([intercept for _, intercept in members])

    def score(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the members, (n_sequences,) each."""
        scores = features @ self._weights.T + self._intercepts
        return scores.mean(axis=1), scores.std(axis=1)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return the rewards at the mean scores, of shape (n_sequences,)."""
        mean, _ = self.score(features)
        # In units of the largest, since a difference of huge numbers is infinite.
        unit = np.abs(self._distinct).max() or 1.0
        return np.asarray(
            np.interp(mean, self._quantiles, self._distinct / unit) * unit
        )


def _ridge(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the weights and the intercept of a ridge regression."""
    center, mean = features.mean(axis=0), targets.mean()
    centered = features - center
    # As many equations as there are trials, which are often fewer than features.
    gram = centered @ centered.T + _PENALTY * np.eye(len(targets))
    weights = centered.T @ np.linalg.solve(gram, targets - mean)
    return weights, float(mean - center @ weights)
