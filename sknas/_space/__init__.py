"""What a network looks like, and the set of all that a search may visit."""

from sknas._space.architecture import (
    ACTIVATIONS,
    Architecture,
    Bigram,
    canonical_activation,
)
from sknas._space.candidate import Candidate, Proposal, Proposed, as_proposal
from sknas._space.gates import Gates
from sknas._space.outcome import Outcome
from sknas._space.search_space import SearchSpace

__all__ = [
    "ACTIVATIONS",
    "Architecture",
    "Bigram",
    "Candidate",
    "Gates",
    "Outcome",
    "Proposal",
    "Proposed",
    "SearchSpace",
    "as_proposal",
    "canonical_activation",
]
