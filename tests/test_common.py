"""scikit-learn's own checks.

Two configurations reach every branch of ``fit`` between them. The first: REINFORCE
with predictor, candidates and bonus; trial 0; shared weights; early stopping of
children and finalists; AdamW on a cosine; finalists; a refit from scratch. The second:
random search; no trial 0; no sharing; a scorer; Adam at a constant rate without early
stopping; no finalists; a fine-tuned refit. Few wide-stepped epochs, because the checks
fit some ninety times, and yet expect accuracies above 0.83 on blobs.
"""

import numpy as np
import pytest
import sklearn
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from sknas import NASMLPClassifier, ReinforceStrategy

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
        solver="adamw",
        learning_rate="cosine",
        refit="scratch",
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


@parametrize_with_checks(list(CONFIGURATIONS.values()))
def test_common_checks(estimator, check):
    state = np.random.get_state()  # noqa: NPY002
    check(estimator)
    if getattr(check, "func", check).__name__ == CHECK_THAT_DRAWS:
        np.random.set_state(state)  # noqa: NPY002


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_enough_checks_are_collected_and_none_is_expected_to_fail(name):
    checks = list(estimator_checks_generator(CONFIGURATIONS[name], mark=None))
    # A classifier that allows NaN and has no sample_weight gets these.
    expected = {"1.6": 53, "1.9": 54}.get(".".join(sklearn.__version__.split(".")[:2]))
    assert len(checks) == expected if expected else len(checks) >= 50
    names = {getattr(check, "func", check).__name__ for _, check in checks}
    assert {
        "check_classifiers_train",
        "check_methods_subset_invariance",
        "check_estimators_pickle",
        "check_fit_idempotent",
        "check_estimator_sparse_array",
    } <= names
