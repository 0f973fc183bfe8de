"""scikit-learn's own checks.

Two configurations of the classifier reach the stages of ``fit`` between them. The
first: REINFORCE with predictor, candidates and bonus; trial 0; shared weights; early
stopping of children and finalists; AdamW on a cosine; finalists; a refit from scratch.
The second: random search; no trial 0; no sharing; a scorer; Adam at a constant rate
without early stopping; no finalists; a fine-tuned refit. One of the regressor has what
is its own. Few wide-stepped epochs, because the checks fit some ninety times, and yet
expect accuracies above 0.83 on blobs.
"""

from collections import Counter

import numpy as np
import pytest
from sklearn.base import is_regressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from sknas import NASMLPClassifier, NASMLPRegressor, ReinforceStrategy

TINY = {
    "layer_widths": (16,),
    "activations": ("relu", "tanh"),
    "n_rounds": 2,
    "n_architectures": 2,
    "search_epochs": 2,
    "max_iter": 12,
    "learning_rate_init": 0.02,
    "batch_size": 16,
}
CONFIGURATIONS = {
    "reinforce": NASMLPClassifier(
        **TINY,
        search_strategy=ReinforceStrategy(
            hidden_size=4,
            batch_size=1,
            accuracy_predictor=True,
            predictor_candidates=2,
            predictor_bonus=0.5,
        ),
        first_architecture="auto",
        weight_sharing=True,
        search_n_iter_no_change=1,
        n_iter_no_change=5,
        n_finalists=2,
        n_splits=2,
        solver="adamw",
        learning_rate="cosine",
        refit="scratch",
    ),
    "regressor": NASMLPRegressor(
        **TINY,
        search_strategy=ReinforceStrategy(hidden_size=4),
        n_iter_no_change=5,
        n_finalists=2,
        n_splits=1,
    ),
    "random": NASMLPClassifier(
        **TINY,
        search_strategy="random",
        first_architecture=None,
        weight_sharing=False,
        search_n_iter_no_change=None,
        n_finalists=0,
        solver="adam",
        alpha=1e-3,
        learning_rate="constant",
        label_smoothing=0.0,
        scoring="accuracy",
        refit="fine-tune",
    ),
}


# The one check that shuffles with numpy's global RNG itself.
CHECK_THAT_DRAWS = "check_methods_sample_order_invariance"


# The checks have too few rows for copies to be merged into weights, and they shuffle
# the weighted rows, which are then drawn into other batches and sides of the split.
# `MLPClassifier` and `MLPRegressor` are checked with solver='lbfgs' only, which has no
# batches, and without validation rows.
WEIGHTS = "rows are drawn into batches and splits by their order, which differs"
EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}


@parametrize_with_checks(
    list(CONFIGURATIONS.values()),
    expected_failed_checks=lambda _: EXPECTED_FAILURES,
)
def test_common_checks(estimator, check):
    state = np.random.get_state()  # noqa: NPY002
    check(estimator)
    if getattr(check, "func", check).__name__ == CHECK_THAT_DRAWS:
        np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_as_many_checks_are_collected_as_for_scikit_learns_own(name):
    ours = CONFIGURATIONS[name]
    theirs = MLPRegressor() if is_regressor(ours) else MLPClassifier()
    names, of_theirs = (
        Counter(
            getattr(check, "func", check).__name__
            for _, check in estimator_checks_generator(each, mark=None)
        )
        for each in (ours, theirs)
    )
    # This one demands that NaN be refused; here they are missing values.
    assert set(of_theirs - names) == {"check_estimators_nan_inf"}
    assert set(of_theirs) > {"check_fit_idempotent", "check_methods_subset_invariance"}
