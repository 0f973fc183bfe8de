"""Optimal transport between two small sets of masses, many such problems at once."""

from __future__ import annotations

import numpy as np

# The price of a unit that is left where it is, on either side: to move one must cost
# less than to leave two.
_LEFT_OVER = 1.0
# What counts as nothing, of prices and as a share of all mass.
_TINY = 1e-12
# Problems solved together: as many as a processor's cache holds.
_CHUNK = 2048


def transport_costs(
    costs: np.ndarray, supply: np.ndarray, demand: np.ndarray
) -> np.ndarray:
    """Return the least cost of carrying the supply to where it is demanded.

    A unit of mass that is not carried costs 1, at its source and at its sink, so that
    the masses of the two sides need not be equal: the "non-assignment penalty" of
    OTMANN. The solution is exact, by successive shortest paths. All problems advance
    together, one path each at a time, since a call of a solver for each of some
    thousand problems of five by five would take longer than to train a network.

    Parameters
    ----------
    costs : ndarray of shape (n_sources, n_sinks, n_problems)
        What one unit costs from a source to a sink, at least 0.
    supply : ndarray of shape (n_sources, n_problems)
        Masses, at least 0. A source without mass takes no part.
    demand : ndarray of shape (n_sinks, n_problems)
        Masses, at least 0.

    Returns
    -------
    ndarray of shape (n_problems,)
        The least costs.
    """
    least = np.empty(costs.shape[2])
    for start in range(0, len(least), _CHUNK):
        part = slice(start, start + _CHUNK)
        problems = _Problems(costs[..., part], supply[:, part], demand[:, part])
        least[part] = problems.solve()
    return least


class _Problems:
    """Flows of some problems, and what is left of their supply and demand."""

    def __init__(
        self, costs: np.ndarray, supply: np.ndarray, demand: np.ndarray
    ) -> None:
        self.least = _LEFT_OVER * (supply.sum(axis=0) + demand.sum(axis=0))
        self._numbers = np.arange(len(self.least))
        # What a unit adds to the cost of leaving everything.
        self._prices = costs - 2 * _LEFT_OVER
        self._tiny = _TINY * self.least
        self._supply, self._demand = supply.copy(), demand.copy()
        self._flow = np.zeros(costs.shape)
        self._stay()

    def _stay(self) -> None:
        """Match what costs nothing in place, which no other path can better."""
        for place in range(min(len(self._supply), len(self._demand))):
            amount = np.minimum(self._supply[place], self._demand[place])
            amount *= self._prices[place, place] == -2 * _LEFT_OVER
            self._flow[place, place] = amount
            self._supply[place] -= amount
            self._demand[place] -= amount
            self.least -= 2 * _LEFT_OVER * amount

    def solve(self) -> np.ndarray:
        """Send mass along the cheapest paths for as long as that saves something."""
        while len(self._numbers):
            from_source, from_sink = self._paths()
            potentials, parents = from_source
            ends = np.where(self._demand > self._tiny, potentials, np.inf)
            sinks = ends.argmin(axis=0)
            price = ends[sinks, np.arange(len(sinks))]
            going = np.flatnonzero(price < -_TINY)
            if len(going) < len(price):
                self._keep(going)
                sinks, price, parents = sinks[going], price[going], parents[:, going]
                from_sink = from_sink[:, going]
            if len(going):
                self.least[self._numbers] += price * self._send(
                    sinks, parents, from_sink
                )
        return np.asarray(self.least)

    def _keep(self, going: np.ndarray) -> None:
        """Set aside the problems that are solved."""
        self._numbers, self._tiny = self._numbers[going], self._tiny[going]
        self._prices, self._flow = self._prices[..., going], self._flow[..., going]
        self._supply, self._demand = self._supply[:, going], self._demand[:, going]

    def _paths(self) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        """Find the cheapest paths to all sinks in the residual graphs (Bellman-Ford).

        Returns the prices of the sinks, the source that each is reached from, and the
        sink that each source is reached from, where mass is taken back; -1 for a source
        that a path begins with.
        """
        at_source = np.where(self._supply > self._tiny, 0.0, np.inf)
        at_sink = np.full(self._demand.shape, np.inf)
        to_sink = np.zeros(self._demand.shape, dtype=np.int8)
        to_source = np.full(self._supply.shape, -1, dtype=np.int8)
        back = np.where(self._flow > self._tiny, -self._prices, np.inf)
        # Without cycles of negative price no path visits a source twice.
        for _ in at_source:
            for source, prices in enumerate(self._prices):
                _relax(at_sink, to_sink, at_source[source] + prices, source)
            changed = False
            for sink in range(len(at_sink)):
                through = at_sink[sink] + back[:, sink]
                changed |= _relax(at_source, to_source, through, sink)
            if not changed:
                break
        return (at_sink, to_sink), to_source

    def _send(
        self, sinks: np.ndarray, to_sink: np.ndarray, to_source: np.ndarray
    ) -> np.ndarray:
        """Send as much as fits along one path of each problem, and return how much."""
        every = np.arange(len(sinks))
        amount = self._demand[sinks, every]
        steps, sink, on_path = [], sinks, every
        source_of = np.empty_like(sinks)
        while len(on_path):
            source = to_sink[sink, on_path]
            steps.append((source, sink, on_path, 1.0))
            source_of[on_path] = source
            sink = to_source[source, on_path]
            goes_on = sink >= 0
            source, sink, on_path = source[goes_on], sink[goes_on], on_path[goes_on]
            taken_back = self._flow[source, sink, on_path]
            amount[on_path] = np.minimum(amount[on_path], taken_back)
            steps.append((source, sink, on_path, -1.0))
        amount = np.minimum(amount, self._supply[source_of, every])
        for source, sink, on_path, sign in steps:
            self._flow[source, sink, on_path] += sign * amount[on_path]
        self._supply[source_of, every] -= amount
        self._demand[sinks, every] -= amount
        return np.asarray(amount)


def _relax(
    potentials: np.ndarray, parents: np.ndarray, through: np.ndarray, parent: int
) -> bool:
    """Lower potentials to those through a parent, and tell whether any was lowered."""
    is_lower = through < potentials - _TINY
    np.copyto(potentials, through, where=is_lower)
    np.copyto(parents, parent, where=is_lower)
    return bool(is_lower.any())
