"""The settings of the paper, to be run as printed."""

from typing import Any

from sknas._search.strategies import ReinforceStrategy

#: Section 5.1 of the paper, with nothing of ours: no first architecture, no finalists,
#: plain Adam, ten rounds of ten architectures of ten epochs, then fifty epochs of
#: fine-tuning the winner from its inherited weights. The one setting that deviates is
#: that inputs are scaled, as they always are here. How the method is carried out where
#: the paper prints no formula, the user guide tells.
#:
#: What the paper's tables vary is a parameter, of the classifier or of its strategy:
#: ``weight_sharing`` and ``accuracy_predictor`` (tables 1 to 3), ``batch_size`` (tables
#: 3 to 5), ``n_rounds=15, n_architectures=30`` (table 4), ``hidden_size=512`` (table
#: 6). What it does not print (batch size of the children, validation rows,
#: discount, weight of the predictor's error) has its usual value.
PAPER_SETTINGS: dict[str, Any] = {
    "layer_widths": (8, 16, 32, 64, 128, 256, 512),
    "activations": ("sigmoid", "tanh", "relu", "elu"),
    "max_layers": 10,
    "dropout": 0.2,
    "search_strategy": ReinforceStrategy(
        hidden_size=128,
        learning_rate=0.01,
        learning_rate_decay=0.1,
        batch_size=None,
        discount=0.9,
        baseline=0.5,
        entropy=0.0,
        n_replays=0,
        accuracy_predictor=True,
        predictor_candidates=1,
        predictor_bonus=1.0,
    ),
    "n_rounds": 10,
    "n_architectures": 10,
    "search_epochs": 10,
    "search_n_iter_no_change": 3,
    "first_architecture": None,
    "n_finalists": 0,
    "n_ensemble": 1,
    "n_splits": 1,
    "encoding": "scale",
    "epoch_fractions": (1.0,),
    "weight_sharing": True,
    "solver": "adam",
    "alpha": 0.0,
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "label_smoothing": 0.0,
    "batch_size": 128,
    "max_iter": 50,
    "refit": "fine-tune",
    "validation_fraction": 0.2,
    "scoring": "accuracy",
}
