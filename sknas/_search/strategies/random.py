"""Random search: the baseline that every other strategy should be compared with."""

from __future__ import annotations

from sknas._search.strategies.base import SearchStrategy
from sknas._space import Architecture


class RandomStrategy(SearchStrategy):
    """Draws from the prior of the space and learns nothing.

    Every depth is equally likely, and within it every layer. This is
    ``search_strategy='random'``.

    Attributes
    ----------
    space_ : SearchSpace
        Where architectures come from.

    generator_ : numpy.random.Generator
        Source of the draws.

    Examples
    --------
    >>> from sknas import RandomStrategy, SearchSpace
    >>> strategy = RandomStrategy()
    >>> strategy.setup(SearchSpace((8, 16), ("relu",), max_layers=4), random_state=0)
    >>> len(strategy.ask(3))
    3
    """

    def draw(self, n: int) -> list[Architecture]:
        """Draw architectures from the prior of the space.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        list of Architecture
            Independent draws.
        """
        return [self.space_.sample(self.generator_) for _ in range(n)]
