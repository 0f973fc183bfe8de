"""The estimator: what a user of scikit-learn sees."""

from __future__ import annotations

import copy
import functools
import math
import time
import warnings
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
    import torch

    from sknas._search import Choice, Search, Strategy
    from sknas._trainer import Trainer
    from sknas._training import TrainingData, TrainingResult, TrainingSettings


class NASMLPClassifier(ClassifierMixin, BaseEstimator):
    """Multilayer perceptron that searches for its own architecture.

    ``fit`` encodes the table, lets an LSTM controller propose architectures, trains
    each one briefly, teaches the controller by REINFORCE which ones did well, trains
    the best again from scratch, chooses, and refits the choice on all rows. What a fit
    costs is set by `n_rounds`, `n_architectures`, `search_epochs`, `n_finalists`,
    `max_iter` and `layer_widths`: with the defaults at most 1,000 epochs in all, of
    which the refit takes 100.

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
        The best trials are trained again, from scratch and for `max_iter` epochs,
        before the choice; with two or more, `first_architecture` is among them. 0
        chooses the best trial of the search as it is.

    first_architecture : 'auto', Architecture, tuple or None, default='auto'
        Trial 0, so that the search never returns something worse than the obvious.
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

    learning_rate_init : float, default=0.002
        Learning rate at the beginning.

    batch_size : int or 'auto', default='auto'
        Rows an update. ``'auto'`` is the greatest power of two that is no more than
        a sixteenth of the rows, between 16 and 256.

    label_smoothing : float, default=0.1
        Share of a target's probability that is spread over all classes, in [0, 1).

    max_iter : int, default=100
        Epochs of the finalists and of the refit.

    validation_fraction : float, default=0.2
        Share of the rows that measures children and finalists, in (0, 1).

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
        scores reported are accuracies, and what is maximised is ``exp(-log loss)``,
        which tells architectures apart where accuracies of few rows cannot.

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
        several and thus a little optimistic.

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
        ``score``, ``loss``, ``n_iter``, ``time``. Empty without finalists.

    round_results_ : dict of ndarray
        One row a round: ``round``, ``n_trials``, ``mean_score``, ``best_score``,
        ``time`` and, of it, ``time_children`` in seconds, and what the strategy
        reports of its update, such as the policy's ``entropy``.

    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.

    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of each layer. ``coefs_[0]`` has one row a column of the encoded table.

    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer.

    encoder_ : TableEncoder
        Turns a table into the matrix that the network sees.

    loss_curve_ : list of float
        Training loss of each epoch of the refit.

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
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "refit": [StrOptions({"scratch", "fine-tune"})],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "scoring": [str, callable, None],
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
        predictor_candidates: int = 4,
        predictor_bonus: float = 0.0,
        solver: str = "adamw",
        alpha: float = 0.3,
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.002,
        batch_size: int | str = "auto",
        label_smoothing: float = 0.1,
        max_iter: int = 100,
        validation_fraction: float = 0.2,
        n_iter_no_change: int | None = None,
        refit: str = "scratch",
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        scoring: str | Callable[..., float] | None = None,
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
        self.predictor_candidates = predictor_candidates
        self.predictor_bonus = predictor_bonus
        self.solver = solver
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.label_smoothing = label_smoothing
        self.max_iter = max_iter
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.refit = refit
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.scoring = scoring
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
        from sknas import _validation
        from sknas._device import resolve_device
        from sknas._metric import ValidationMetric
        from sknas._preprocessing import TableEncoder
        from sknas._split import split_rows
        from sknas._training import TrainingData

        # 1. Validate.
        space = _validation.check_space(self)
        first_architecture = _validation.check_first_architecture(self, space)
        strategy = self._make_strategy()
        device = resolve_device(self.device)
        X = _validation.check_table(self, X, reset=True)
        y = _validation.check_class_labels(self, X, y)
        classes, codes = np.unique(y, return_inverse=True)
        seeds = SeedSource(self.random_state)
        rows, validation_rows = split_rows(
            codes, self.validation_fraction, seeds.seed("split")
        )
        metric = ValidationMetric(
            self.scoring,
            classes,
            safe_indexing(X, validation_rows),
            codes[validation_rows],
        )
        metric.check()

        # 2. Encode.
        encoder = TableEncoder().fit(X)
        data = TrainingData(encoder.transform(X, np.float32), codes, len(classes))
        make_trainer = self._trainer_factory(seeds, device)

        # 3. Search, choose, refit.
        started = time.perf_counter()
        search = self._make_search(
            space=space,
            strategy=strategy,
            make_trainer=make_trainer,
            data=data.split(rows, validation_rows),
            metric=metric,
            seeds=seeds,
            first_architecture=first_architecture,
        )
        choice = self._run(search, make_trainer)
        chosen_at = time.perf_counter()
        search.progress.stage(f"refitting {choice.result.architecture}")
        result = self._refit(choice, data, seeds, make_trainer)

        # 4. Publish.
        self.classes_ = classes
        self.encoder_ = encoder
        self.device_ = str(device)
        self.search_time_ = chosen_at - started
        self.refit_time_ = time.perf_counter() - chosen_at
        self._publish_search(search, choice)
        self._publish_network(result, choice, data)
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
        from sknas._prediction import most_probable

        positions = most_probable(self._predict_logits(X), self.out_activation_)
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
        probabilities: np.ndarray = np.exp(self.predict_log_proba(X))
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
        from sknas._prediction import log_probabilities

        return log_probabilities(self._predict_logits(X), self.out_activation_)

    def _predict_logits(self, X: Any) -> np.ndarray:
        from sknas._prediction import predict_logits
        from sknas._validation import check_table

        check_is_fitted(self, "coefs_")
        X = check_table(
            self, X, reset=False, has_categories=self.encoder_.has_categories
        )
        return predict_logits(
            self.encoder_.transform(X),
            self.best_architecture_,
            self.coefs_,
            self.intercepts_,
        )

    def _make_strategy(self) -> Strategy:
        from sknas._strategies import RandomStrategy, ReinforceStrategy

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
            accuracy_predictor=bool(self.accuracy_predictor),
            predictor_candidates=self.predictor_candidates,
            predictor_bonus=self.predictor_bonus,
        )

    def _training_settings(
        self,
        n_rows: int,
        max_iter: int,
        n_iter_no_change: int | None = None,
        schedule_iter: int | None = None,
    ) -> TrainingSettings:
        from sknas._training import TrainingSettings

        batch_size = self.batch_size
        if isinstance(batch_size, str):
            batch_size = min(max(2 ** int(math.log2(max(n_rows / 16, 1))), 16), 256)
        return TrainingSettings(
            max_iter=int(max_iter),
            batch_size=int(min(batch_size, n_rows)),
            learning_rate_init=float(self.learning_rate_init),
            learning_rate=self.learning_rate,
            solver=self.solver,
            alpha=float(self.alpha),
            label_smoothing=float(self.label_smoothing),
            dropout=float(self.dropout),
            n_iter_no_change=n_iter_no_change,
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            schedule_iter=schedule_iter,
        )

    def _trainer_factory(
        self, seeds: SeedSource, device: torch.device
    ) -> Callable[[TrainingData, TrainingSettings], Trainer]:
        from sknas._trainer import Trainer

        return functools.partial(
            Trainer, seed=seeds.seed("order of rows"), device=device, n_jobs=self.n_jobs
        )

    def _make_search(
        self,
        *,
        data: TrainingData,
        make_trainer: Callable[[TrainingData, TrainingSettings], Trainer],
        **parts: Any,
    ) -> Search:
        from sknas._progress import Progress
        from sknas._search import Search

        settings = self._training_settings(
            len(data.X), self.search_epochs, self.search_n_iter_no_change
        )
        return Search(
            trainer=make_trainer(data, settings),
            n_rounds=self.n_rounds,
            n_architectures=self.n_architectures,
            weight_sharing=bool(self.weight_sharing),
            progress=Progress(self.n_rounds * self.n_architectures, self.verbose),
            **parts,
        )

    def _run(
        self,
        search: Search,
        make_trainer: Callable[[TrainingData, TrainingSettings], Trainer],
    ) -> Choice:
        try:
            search.run()
        finally:
            search.progress.close()
        if self.n_finalists:
            search.progress.stage("training the finalists again")
        data = search.trainer.data
        settings = self._training_settings(
            len(data.X), self.max_iter, self.n_iter_no_change
        )
        return search.choose(make_trainer(data, settings), self.n_finalists)

    def _refit(
        self,
        choice: Choice,
        data: TrainingData,
        seeds: SeedSource,
        make_trainer: Callable[[TrainingData, TrainingSettings], Trainer],
    ) -> TrainingResult:
        """Train the choice on all rows; should that fail, keep what there is."""
        from sknas._training import TrainingJob

        architecture = choice.result.architecture
        fine_tunes = self.refit == "fine-tune"
        # The epochs that were best for the finalist, on the finalist's schedule.
        epochs = choice.result.best_iter if choice.finalists else self.max_iter
        settings = self._training_settings(
            len(data.X), epochs, schedule_iter=int(self.max_iter)
        )
        job = TrainingJob(
            architecture,
            seeds.seed("refit", architecture, 0),
            choice.result.weights if fine_tunes else None,
        )
        try:
            ((_, result),) = make_trainer(data, settings).train([job])
        except KeyboardInterrupt:
            warnings.warn(
                "The refit was interrupted; the network has the weights that its "
                "architecture had in validation.",
                UserWarning,
                stacklevel=4,
            )
            return choice.result
        if result.failed:
            warnings.warn(
                "The loss of the refit became NaN or infinite; the network has the "
                "weights that its architecture had in validation.",
                UserWarning,
                stacklevel=4,
            )
            return choice.result
        return result

    def _publish_search(self, search: Search, choice: Choice) -> None:
        from sknas._history import columns_of

        trials = search.history.trials
        self.search_results_ = search.history.to_dict()
        self.round_results_ = search.history.rounds_to_dict()
        self.finalist_results_ = columns_of(
            [
                {
                    "index": index,
                    "architecture": trials[index].architecture,
                    "score": choice.finalist_scores[index],
                    "loss": finalist.validation_loss,
                    "n_iter": finalist.n_iter,
                    "time": finalist.time,
                }
                for index, finalist in choice.finalists.items()
            ]
        )
        self.best_index_ = choice.index
        self.best_score_ = choice.score
        self.best_architecture_ = choice.result.architecture

    def _publish_network(
        self,
        result: TrainingResult,
        choice: Choice,
        data: TrainingData,
    ) -> None:
        self.coefs_ = [coef.astype(np.float64) for coef, _ in result.weights]
        self.intercepts_ = [bias.astype(np.float64) for _, bias in result.weights]
        self.loss_curve_ = result.loss_curve
        self.loss_ = result.loss_curve[-1]
        self.best_loss_ = min(result.loss_curve)
        self.validation_scores_ = choice.result.validation_scores
        self.best_validation_score_ = max(self.validation_scores_)
        self.n_iter_ = result.n_iter
        self.t_ = result.n_iter * result.n_rows
        self.n_layers_ = len(self.coefs_) + 1
        self.n_outputs_ = data.n_outputs
        self.out_activation_ = data.output.name
