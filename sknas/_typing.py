"""Types that more than one module speaks of."""

from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array

#: Weights of shape (n_in, n_out) and biases of shape (n_out,) of one layer.
Weights: TypeAlias = tuple[np.ndarray, np.ndarray]
#: A table of numbers: dense, or sparse with rows that can be taken.
Matrix: TypeAlias = np.ndarray | csr_array
