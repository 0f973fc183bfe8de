"""Hyperband: brackets of successive halving that begin at different rungs."""

from __future__ import annotations

import math

from sknas._search.strategies.fidelity.halving import HalvingStrategy


class HyperbandStrategy(HalvingStrategy):
    """Halves, but does not rely on the lowest rung alone.

    Short trainings may rank architectures otherwise than long ones do. Of the brackets
    of Hyperband [1]_, the first is that of `HalvingStrategy`; each of the others begins
    one rung higher, with fewer proposals, and the last one trains them in full at once.
    New proposals go to one bracket after the other, again and again. This is
    ``search_strategy='hyperband'``, with Bayesian optimisation as in BOHB [2]_.

    Read more in the :ref:`user guide <halving>`.

    Parameters
    ----------
    strategy : str or object, default='bayesian'
        What proposes: ``'reinforce'``, ``'random'``, ``'evolution'``,
        ``'progressive'``, ``'bayesian'``, or an object that may be a
        `search_strategy`. It is told the rewards of the rungs where its proposals
        began, less what the rung adds on average, so that they compare.

    factor : float, default=8
        One proposal in so many rises, to so many times the resources. More than 1.

    resource : {'epochs', 'rows', 'folds'}, default='epochs'
        What rises: the epochs of the training, the share of the rows trained on, or the
        number of folds trained and validated on.

    min_resources : float or None, default=None
        No rung has less. None makes two rungs: for 15 epochs, of 2 and of 15.

    max_resources : float or None, default=None
        What the highest rung has. None is all that the search offers: `search_epochs`,
        all rows, all folds. There are never more folds than these.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the seed of the other strategy.

    strategy_ : object
        The other strategy, which this search alone uses.

    rungs_ : list of float
        Resources of each rung, the lowest first.

    See Also
    --------
    HalvingStrategy : The first bracket alone.

    References
    ----------
    .. [1] L. Li, K. Jamieson, G. DeSalvo, A. Rostamizadeh and A. Talwalkar, "Hyperband:
       A Novel Bandit-Based Approach to Hyperparameter Optimization", Journal of Machine
       Learning Research 18, 2018.
    .. [2] S. Falkner, A. Klein and F. Hutter, "BOHB: Robust and Efficient
       Hyperparameter Optimization at Scale", ICML 2018.

    Examples
    --------
    >>> from sknas import BayesianStrategy, HyperbandStrategy, SearchSpace
    >>> strategy = HyperbandStrategy(BayesianStrategy(), factor=3, min_resources=2)
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=6), random_state=0)
    >>> epochs = [proposal.epochs or 15 for proposal in strategy.ask(17)]
    >>> [epochs.count(rung) for rung in strategy.rungs_]
    [9, 5, 3]
    """

    def _lowest(self, number: int) -> int:
        """Return at which rung a new proposal begins."""
        n_rungs = len(self.rungs_)
        # As many proposals as make the brackets of a cycle cost the same.
        sizes = [
            math.ceil(n_rungs / (above + 1) * float(self.factor) ** above - 1e-9)
            for above in reversed(range(n_rungs))
        ]
        place = number % sum(sizes)
        rung = 0
        while place >= sizes[rung]:
            place -= sizes[rung]
            rung += 1
        return rung
