"""The estimator: what a user of scikit-learn sees."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sknas._random import SeedSource
from sknas._sklearn import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    fit_context,
    safe_indexing,
)
from sknas._space import Architecture

# Everything that needs torch is imported by the methods that train, so that neither
# importing this package nor predicting from a pickle pays for it.
if TYPE_CHECKING:
    from sknas._engine.evaluator import Evaluation
    from sknas._engine.jobs import TrainingData
    from sknas._search.searcher import Choice, Search, Strategy


class NASMLPClassifier(ClassifierMixin, BaseEstimator):
    """Multilayer perceptron that searches for its own architecture.

    ``fit`` encodes the table, lets an LSTM controller propose architectures, trains
    each one briefly, teaches the controller by REINFORCE which ones did well, trains
    the best again from scratch, chooses, and refits an ensemble of the choice on all
    rows. What a fit costs is set by `max_time`, or by `n_rounds`, `n_architectures`,
    `search_epochs`, `n_splits`, `n_finalists`, `n_ensemble`, `max_iter` and
    `layer_widths`.

    Read more in the :ref:`user guide <user_guide>`.

    Parameters
    ----------
    layer_widths : tuple of int, default=(16, 32, 64, 128, 256)
        Widths a hidden layer may have.

    activations : tuple of str, default=('relu', 'elu', 'tanh', 'sigmoid')
        Activations a hidden layer may have, of ``'relu'``, ``'elu'``, ``'tanh'`` and
        ``'sigmoid'``, for which ``'logistic'`` is accepted.

    max_layers : int, default=7
        Longest architecture in tokens: dense layers, dropouts and the output layer.
        At least 2.

    dropout : float, default=0.2
        Share of units that a dropout layer silences in training, in [0, 1), rounded
        to 1/256. 0 leaves dropout out of the space.

    search_strategy : {'reinforce', 'random'} or object, default='reinforce'
        What proposes architectures. An object needs ``setup(space, random_state)``,
        ``ask(n)`` and ``tell(architectures, rewards)``, and may have
        ``predict(architectures)``; a deep copy of it is used.

    n_rounds : int, default=5
        How often the strategy is asked and told.

    n_architectures : int, default=8
        Architectures a round.

    search_epochs : int, default=15
        Epochs that a child is trained for in the search.

    search_n_iter_no_change : int or None, default=3
        A child's training ends early when its validation loss has not improved for
        this many epochs; its best epoch counts. None trains for all epochs and
        takes the last.

    n_finalists : int, default=3
        The best trials are trained again, from scratch and for longer (`max_iter`,
        `epoch_fractions`), before the choice; with two or more, `first_architecture`
        is among them. 0 chooses the best trial of the search as it is.

    n_ensemble : int, default=4
        Networks of the chosen architecture that the refit trains, side by side; they
        differ in their initial weights and dropout. Their probabilities are averaged.

    first_architecture : 'auto', Architecture, tuple or None, default='auto'
        Trial 0, which the others have to beat by more than chance: the search shall
        never return something worse than the obvious.
        ``'auto'`` is three layers of 256 rectified units with dropout, or what of this
        the space can express. None starts with the strategy's own.

    weight_sharing : bool, default=False
        Whether children inherit the weights of earlier ones that had the same pair of
        adjacent layers (one-shot learning).

    accuracy_predictor : bool, default=True
        Whether ``'reinforce'`` trains a predictor of the reward jointly with its
        controller.

    controller_hidden_size : int, default=64
        Units of the controller's LSTM.

    controller_learning_rate : float, default=0.01
        Step size of the controller's Adam.

    controller_learning_rate_decay : float, default=0.0
        After t updates the step size is divided by ``1 + decay * t``.

    controller_batch_size : int or None, default=None
        Architectures an update of the controller. None takes a whole round.

    controller_discount : float, default=1.0
        Discount factor of the returns, in (0, 1].

    controller_baseline : 'moving_average' or float, default='moving_average'
        What is subtracted from the returns.

    controller_entropy : float, default=0.01
        Weight of the policy's entropy in its objective.

    controller_replays : int, default=20
        Steps that the controller takes on all trials so far after the update of a
        round: one update a round would hardly move it.

    predictor_candidates : int, default=4
        Architectures drawn for each one trained, of which the predictor picks the
        most promising. 1 trains what is drawn.

    predictor_bonus : float, default=0.0
        Weight of the predictor's absolute error in the controller's reward, which
        draws the search to where the predictor errs.

    solver : {'adamw', 'adam'}, default='adamw'
        Optimiser of the networks.

    alpha : float, default=0.3
        Weight decay. With ``solver='adamw'`` it is decoupled: weights shrink by
        ``alpha`` times the learning rate a step. With ``solver='adam'`` it is the
        strength of the L2 term, divided by the batch size as in `MLPClassifier`.

    learning_rate : {'cosine', 'constant'}, default='cosine'
        Schedule of the learning rate. ``'cosine'`` falls to zero over a training.

    learning_rate_init : float, default=0.003
        Learning rate at the beginning.

    batch_size : int or 'auto', default='auto'
        Rows an update. ``'auto'`` is the greatest power of two that is no more than
        an eighth of the rows, between 16 and 256.

    label_smoothing : float, default=0.1
        Share of a target's probability that is spread over all classes, in [0, 1).

    max_iter : int, default=60
        Epochs of the finalists and of the refit, at most.

    epoch_fractions : tuple of float, default=(0.25, 1.0)
        Fractions of `max_iter`. Every finalist is trained for each of them, with a
        schedule of the learning rate of its own, and the refit takes the one that the
        choice had: noisy tables want short trainings.

    validation_fraction : float, default=0.2
        Share of the rows that measures children and finalists, in (0, 1).

    n_splits : int or 'auto', default='auto'
        Every finalist is trained on so many splits, each with validation rows of its
        own; the search has the first. ``'auto'`` takes as many as measure on 1,000
        rows, but at most five: one from 5,000 rows on.

    n_iter_no_change : int or None, default=None
        The training of a finalist ends early when its validation loss has not
        improved for this many epochs; the refit then takes as many epochs as were
        best. None trains for `max_iter` epochs.

    refit : {'scratch', 'fine-tune'}, default='scratch'
        Whether the network is trained on all rows from new weights, or from those
        that the chosen architecture had in validation.

    beta_1 : float, default=0.9
        Decay of Adam's first moment, in [0, 1).

    beta_2 : float, default=0.999
        Decay of Adam's second moment, in [0, 1).

    epsilon : float, default=1e-8
        Keeps Adam's steps finite.

    scoring : str, callable or None, default=None
        Scorer of the validation rows, which the search maximises. With None the
        scores reported are accuracies; what ranks children is the accuracy plus half
        the mean log-probability of the true classes, which tells architectures apart
        where accuracies of few rows cannot.

    encoding : {'auto', 'piecewise', 'scale', 'passthrough'}, default='auto'
        What becomes of numbers. ``'scale'`` makes them robust against outliers;
        ``'piecewise'`` adds, if there are no more than 170 numeric columns, what a
        piecewise linear function of each needs; ``'auto'`` searches with these and
        leaves them out of the network if the chosen architecture validates better
        without. ``'passthrough'`` takes numbers as they are, for those who scale them
        themselves. Missing values and categories are always encoded.

    max_time : float or None, default=None
        Seconds for all of `fit`. The search ends when two fifths are used up, the
        finalists have half of what is left, and learning rates fall faster where the
        time would not do for all epochs; at least one child is trained for an epoch.
        The result then depends on the machine. None sets no limit.

    device : str, default='auto'
        Where networks are trained: ``'cpu'``, ``'cuda'``, ``'cuda:1'``; ``'auto'``
        takes CUDA where there is one. The fitted estimator holds arrays only.

    n_jobs : int or None, default=None
        Processes that train children on a CPU, -1 for all cores. None is 1 unless in
        a ``joblib.parallel_config`` context. One process trains large children in as
        many threads as torch may use. The result depends on neither.

    random_state : int, RandomState instance or None, default=None
        An int makes the result reproducible. numpy's and torch's global states are
        neither read nor moved; None takes entropy from the operating system.

    verbose : bool or int, default=False
        Whether to report progress on stderr: 1 for a bar if tqdm is installed, else a
        line a round; 2 for a line a trial.

    Attributes
    ----------
    best_architecture_ : Architecture
        The architecture chosen.

    best_score_ : float
        Validation score of the chosen finalist, before the refit. It is the best of
        several, and thus a little optimistic; and of one network trained on a part of
        the rows, and thus a little pessimistic.

    score_bound_ : float
        With probability 0.95 the chosen finalist's accuracy on rows like these is not
        below this. Hoeffding's bound over all trials and finalists (appendix B.3 of
        [1]_): it assumes nothing of the data, and is loose. NaN where `scoring` is not
        the accuracy.

    best_index_ : int
        The row of `search_results_` that was chosen.

    search_results_ : dict of ndarray
        One row a trial, in the order of proposal, ready for a DataFrame:
        ``architecture``; ``round`` from 0; ``status``, ``'trained'`` or ``'failed'``;
        ``score`` in `scoring`; ``loss``, the validation log loss;
        ``predicted_score``, the predictor's guess at the reward before training;
        ``reward`` as told to the strategy; ``n_parameters``; ``n_iter``, the epochs;
        ``time``, the training's seconds; ``rank_score``, 1 for the best score.

    finalist_results_ : dict of ndarray
        One row a finalist: ``index`` in `search_results_`, ``architecture``,
        ``encoding`` of the numbers, ``max_iter``, ``score``, ``loss``, ``n_iter``,
        ``time``, ``chosen``, which one of them is. Empty without finalists.

    round_results_ : dict of ndarray
        One row a round: ``round``, ``n_trials``, ``mean_score``, ``best_score``,
        ``time`` and, of it, ``time_children`` in seconds, and what the strategy
        reports of its update, such as the policy's ``entropy``.

    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of each layer of the first of the `n_ensemble` networks. ``coefs_[0]``
        has one row a column of the encoded table.

    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer of the first network.

    ensemble_coefs_ : list of ndarray of shape (n_ensemble, n_in, n_out)
        Weights of each layer of all networks.

    ensemble_intercepts_ : list of ndarray of shape (n_ensemble, n_out)
        Biases of each layer of all networks.

    temperature_ : float
        What the output layer's weights and biases were divided by, so that predicted
        probabilities come true as often as they say: the value of the least log loss
        on the validation rows. 1 without finalists.

    encoder_ : TableEncoder
        Turns a table into the matrix that the network sees.

    loss_curve_ : list of float
        Training loss of each epoch of the refit, averaged over the networks.

    loss_ : float
        Its last value.

    best_loss_ : float
        Its least value.

    validation_scores_ : list of float
        Validation accuracy of each epoch of the chosen finalist.

    best_validation_score_ : float
        Its greatest value.

    n_iter_ : int
        Epochs of the refit.

    t_ : int
        Rows seen by the refit: epochs times rows.

    n_layers_ : int
        Layers, with the input and the output, without dropout.

    n_outputs_ : int
        Units of the output layer: 1 for two classes, else one a class.

    out_activation_ : str
        ``'logistic'`` for two classes, else ``'softmax'``.

    n_features_in_ : int
        Columns of X.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X has names that are all strings.

    device_ : str
        Where the networks were trained.

    search_time_ : float
        Seconds from the first round to the choice.

    refit_time_ : float
        Seconds of the refit.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The network without the search.

    Notes
    -----
    The method is that of section 4 and appendix A of [1]_; `sknas.PAPER_SETTINGS`
    holds the settings of its section 5.1, the defaults are ours.

    References
    ----------
    .. [1] F. Minutoli and M. Ciranni, "Neural Architecture Search: An overview".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from sknas import NASMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> classifier = NASMLPClassifier(n_rounds=2, n_architectures=3, random_state=0)
    >>> classifier.fit(X_train, y_train).score(X_test, y_test) > 0.9
    True
    >>> len(classifier.search_results_["architecture"])
    6
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "layer_widths": ["array-like"],
        "activations": ["array-like"],
        "max_layers": [Interval(Integral, 2, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "search_strategy": [
            StrOptions({"reinforce", "random"}),
            HasMethods(["setup", "ask", "tell"]),
        ],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "n_architectures": [Interval(Integral, 1, None, closed="left")],
        "search_epochs": [Interval(Integral, 1, None, closed="left")],
        "search_n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "n_finalists": [Interval(Integral, 0, None, closed="left")],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
        "first_architecture": [StrOptions({"auto"}), Architecture, tuple, list, None],
        "weight_sharing": ["boolean"],
        "accuracy_predictor": ["boolean"],
        "controller_hidden_size": [Interval(Integral, 1, None, closed="left")],
        "controller_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "controller_learning_rate_decay": [Interval(Real, 0, None, closed="left")],
        "controller_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "controller_discount": [Interval(Real, 0, 1, closed="right")],
        "controller_baseline": [
            StrOptions({"moving_average"}),
            Interval(Real, None, None, closed="neither"),
        ],
        "controller_entropy": [Interval(Real, 0, None, closed="left")],
        "controller_replays": [Interval(Integral, 0, None, closed="left")],
        "predictor_candidates": [Interval(Integral, 1, None, closed="left")],
        "predictor_bonus": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"adamw", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [StrOptions({"cosine", "constant"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "epoch_fractions": ["array-like"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_splits": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "refit": [StrOptions({"scratch", "fine-tune"})],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "scoring": [str, callable, None],
        "encoding": [StrOptions({"auto", "piecewise", "scale", "passthrough"})],
        "max_time": [Interval(Real, 0, None, closed="neither"), None],
        "device": [str],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        layer_widths: tuple[int, ...] = (16, 32, 64, 128, 256),
        activations: tuple[str, ...] = ("relu", "elu", "tanh", "sigmoid"),
        max_layers: int = 7,
        dropout: float = 0.2,
        search_strategy: str | Strategy = "reinforce",
        n_rounds: int = 5,
        n_architectures: int = 8,
        search_epochs: int = 15,
        search_n_iter_no_change: int | None = 3,
        n_finalists: int = 3,
        n_ensemble: int = 4,
        first_architecture: str | Architecture | tuple[Any, ...] | None = "auto",
        weight_sharing: bool = False,
        accuracy_predictor: bool = True,
        controller_hidden_size: int = 64,
        controller_learning_rate: float = 0.01,
        controller_learning_rate_decay: float = 0.0,
        controller_batch_size: int | None = None,
        controller_discount: float = 1.0,
        controller_baseline: str | float = "moving_average",
        controller_entropy: float = 0.01,
        controller_replays: int = 20,
        predictor_candidates: int = 4,
        predictor_bonus: float = 0.0,
        solver: str = "adamw",
        alpha: float = 0.3,
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.003,
        batch_size: int | str = "auto",
        label_smoothing: float = 0.1,
        max_iter: int = 60,
        epoch_fractions: tuple[float, ...] = (0.25, 1.0),
        validation_fraction: float = 0.2,
        n_splits: int | str = "auto",
        n_iter_no_change: int | None = None,
        refit: str = "scratch",
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        scoring: str | Callable[..., float] | None = None,
        encoding: str = "auto",
        max_time: float | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.layer_widths = layer_widths
        self.activations = activations
        self.max_layers = max_layers
        self.dropout = dropout
        self.search_strategy = search_strategy
        self.n_rounds = n_rounds
        self.n_architectures = n_architectures
        self.search_epochs = search_epochs
        self.search_n_iter_no_change = search_n_iter_no_change
        self.n_finalists = n_finalists
        self.n_ensemble = n_ensemble
        self.first_architecture = first_architecture
        self.weight_sharing = weight_sharing
        self.accuracy_predictor = accuracy_predictor
        self.controller_hidden_size = controller_hidden_size
        self.controller_learning_rate = controller_learning_rate
        self.controller_learning_rate_decay = controller_learning_rate_decay
        self.controller_batch_size = controller_batch_size
        self.controller_discount = controller_discount
        self.controller_baseline = controller_baseline
        self.controller_entropy = controller_entropy
        self.controller_replays = controller_replays
        self.predictor_candidates = predictor_candidates
        self.predictor_bonus = predictor_bonus
        self.solver = solver
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.label_smoothing = label_smoothing
        self.max_iter = max_iter
        self.epoch_fractions = epoch_fractions
        self.validation_fraction = validation_fraction
        self.n_splits = n_splits
        self.n_iter_no_change = n_iter_no_change
        self.refit = refit
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.scoring = scoring
        self.encoding = encoding
        self.max_time = max_time
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: ArrayLike) -> NASMLPClassifier:
        """Search for an architecture and train it.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            The table. Columns of numbers or booleans are numeric; categorical and
            text columns of a DataFrame or of an object array are categories. Values
            may be missing in any of them. Sparse matrices are made dense.

        y : array-like of shape (n_samples,)
            Labels.

        Returns
        -------
        NASMLPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or y is not valid, before anything is trained; if the
            loss of every child became NaN or infinite.
        """
        from sknas._device import resolve_device
        from sknas._fit import validation as _validation
        from sknas._fit.stages import Fitting
        from sknas._tasks.metric import ValidationMetric
        from sknas._tasks.splits import split_rows

        began = time.perf_counter()
        # 1. Validate.
        space = _validation.check_space(self)
        first_architecture = _validation.check_first_architecture(self, space)
        strategy = self._make_strategy()
        device = resolve_device(self.device)
        X = _validation.check_table(self, X, reset=True)
        y = _validation.check_class_labels(self, X, y)
        classes, codes = np.unique(y, return_inverse=True)
        n_splits = _validation.check_n_splits(self, len(codes))
        _validation.check_epoch_fractions(self)
        seeds = SeedSource(self.random_state)
        splits = split_rows(
            codes, self.validation_fraction, seeds.seed("split"), n_splits
        )
        measured = [rows for _, rows in splits]
        search_metric, metric = (
            ValidationMetric(self.scoring, classes, safe_indexing(X, rows), codes[rows])
            for rows in (measured[0], np.concatenate(measured))
        )
        search_metric.check()

        # 2. Encode, search, choose, refit.
        fitting = Fitting(
            self,
            X=X,
            codes=codes,
            n_classes=len(classes),
            splits=splits,
            metrics=(search_metric, metric),
            seeds=seeds,
            device=device,
            began=began,
        )
        started = time.perf_counter()
        search = fitting.search(space, strategy, first_architecture)
        choice = fitting.choose(search)
        chosen_at = time.perf_counter()
        search.progress.stage(f"refitting {choice.evaluation.architecture}")
        refitted = fitting.refit(choice)

        # 3. Publish.
        self.classes_ = classes
        self.encoder_ = fitting.encoder
        self.device_ = str(device)
        self.search_time_ = chosen_at - started
        self.refit_time_ = time.perf_counter() - chosen_at
        self._publish_search(search, choice)
        n_measured = len(search.history) + len(choice.finalists)
        self.score_bound_ = metric.lower_bound(choice.score, n_measured, n_splits)
        temperature = fitting.temperature(choice)
        self._publish_networks(refitted, temperature, choice, fitting.data)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            The most probable label of each row.
        """
        positions = self._log_probabilities(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[positions]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; rows sum to 1.
        """
        probabilities: np.ndarray = np.exp(self._log_probabilities(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            A table with the columns of `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return self._log_probabilities(X)

    def _log_probabilities(self, X: Any) -> np.ndarray:
        from sknas._fit.validation import check_table
        from sknas._model.ensemble import predict_log_probabilities

        check_is_fitted(self, "coefs_")
        X = check_table(
            self, X, reset=False, has_categories=self.encoder_.has_categories
        )
        return predict_log_probabilities(
            self.encoder_.transform(X),
            self.best_architecture_,
            self.ensemble_coefs_,
            self.ensemble_intercepts_,
            self.out_activation_,
        )

    def _make_strategy(self) -> Strategy:
        from sknas._search.strategies import RandomStrategy, ReinforceStrategy

        if isinstance(self.search_strategy, type):
            raise InvalidParameterError(
                f"The 'search_strategy' parameter of {type(self).__name__} must be an "
                f"object, not a class. Got {self.search_strategy!r} instead."
            )
        if not isinstance(self.search_strategy, str):
            return copy.deepcopy(self.search_strategy)
        if self.search_strategy == "random":
            return RandomStrategy()
        return ReinforceStrategy(
            hidden_size=self.controller_hidden_size,
            learning_rate=self.controller_learning_rate,
            learning_rate_decay=self.controller_learning_rate_decay,
            batch_size=self.controller_batch_size,
            discount=self.controller_discount,
            baseline=self.controller_baseline,
            entropy=self.controller_entropy,
            n_replays=self.controller_replays,
            accuracy_predictor=bool(self.accuracy_predictor),
            predictor_candidates=self.predictor_candidates,
            predictor_bonus=self.predictor_bonus,
        )

    def _publish_search(self, search: Search, choice: Choice) -> None:
        from sknas._search.history import columns_of

        trials = search.history.trials
        self.search_results_ = search.history.to_dict()
        self.round_results_ = search.history.rounds_to_dict()
        self.finalist_results_ = columns_of(
            [
                {
                    "index": finalist.index,
                    "architecture": trials[finalist.index].architecture,
                    "encoding": finalist.encoding,
                    "max_iter": finalist.max_iter,
                    "score": finalist.score,
                    "loss": finalist.evaluation.loss,
                    "n_iter": finalist.evaluation.n_iter,
                    "time": finalist.evaluation.time,
                    "chosen": finalist.evaluation is choice.evaluation,
                }
                for finalist in choice.finalists
            ]
        )
        self.best_index_ = choice.index
        self.best_score_ = choice.score
        self.best_architecture_ = choice.evaluation.architecture

    def _publish_networks(
        self,
        refitted: Evaluation,
        temperature: float,
        choice: Choice,
        data: TrainingData,
    ) -> None:
        layers = list(zip(*refitted.weights, strict=True))
        coefs = [np.array([c for c, _ in copies], np.float64) for copies in layers]
        biases = [np.array([b for _, b in copies], np.float64) for copies in layers]
        coefs[-1] /= temperature
        biases[-1] /= temperature
        self.temperature_ = temperature
        self.ensemble_coefs_ = coefs
        self.ensemble_intercepts_ = biases
        self.coefs_ = [copies[0] for copies in coefs]
        self.intercepts_ = [copies[0] for copies in biases]
        self.loss_curve_ = refitted.loss_curve
        self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = min(self.loss_curve_)
        self.validation_scores_ = choice.evaluation.validation_scores
        self.best_validation_score_ = max(self.validation_scores_)
        self.n_iter_ = refitted.n_iter
        self.t_ = refitted.n_iter * refitted.networks[0].n_rows
        self.n_layers_ = len(self.coefs_) + 1
        self.n_outputs_ = data.output.n_outputs
        self.out_activation_ = data.output.name
