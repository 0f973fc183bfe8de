"""One ``random_state`` becomes independent seeds, each named by what it is for."""

from __future__ import annotations

import hashlib

import numpy as np


class SeedSource:
    """Derives seeds from a root and a key, never from the order of events.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        None takes entropy from the operating system: unlike scikit-learn's, it
        neither reads nor moves numpy's global state. A RandomState gives one draw.
    """

    def __init__(self, random_state: int | np.random.RandomState | None) -> None:
        if random_state is None:
            self._root = np.random.SeedSequence().entropy
        elif isinstance(random_state, np.random.RandomState):
            self._root = int(random_state.randint(np.iinfo(np.int32).max))
        else:
            self._root = int(random_state)

    def seed(self, *key: object) -> int:
        """Return the seed that belongs to a key, between 0 and 2**32 - 1.

        The key's ``repr`` is hashed, so that it is the same in every process.
        """
        text = repr((self._root, *key)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")
