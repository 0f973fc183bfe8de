"""Types that more than one module speaks of."""

from typing import TypeAlias

import numpy as np

#: Weights of shape (n_in, n_out) and biases of shape (n_out,) of one layer.
Weights: TypeAlias = tuple[np.ndarray, np.ndarray]
