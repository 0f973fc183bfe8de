"""The classifier."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from sknas._base import BaseNASMLP
from sknas._estimators.predictions import ClassPredictions
from sknas._search.strategies import SearchStrategy
from sknas._sklearn import Interval, StrOptions, fit_context
from sknas._space import Architecture

if TYPE_CHECKING:
    from sknas._tasks.task import Task


class NASMLPClassifier(ClassPredictions):
    """Multilayer perceptron that searches for its own architecture.

    ``fit`` encodes the table, lets an LSTM controller propose architectures, trains
    each one briefly, teaches the controller by REINFORCE which ones did well, trains
    the best again from scratch, chooses, and refits an ensemble of the choice on all
    rows. The cost of a fit is limited by `max_time`, and otherwise depends on
    `n_rounds`, `n_architectures`, `search_epochs`, `n_splits`, `n_finalists`,
    `n_ensemble`, `max_iter` and `layer_widths`.

    Read more in the :ref:`user guide <user_guide>`.

    Parameters
    ----------
    layer_widths : tuple of int, default=(16, 32, 64, 128, 256)
        Widths a hidden layer may have.
    activations : tuple of str, default=('relu', 'elu', 'tanh', 'sigmoid')
        Activations a hidden layer may have, of ``'relu'``, ``'elu'``, ``'tanh'``,
        ``'sigmoid'``, for which ``'logistic'`` is accepted, and ``'identity'``.
    max_layers : int, default=7
        Longest architecture in tokens: dense layers, dropouts, skip connections and the
        output layer. At least 2.
    dropout : float, default=0.2
        Fraction of units that a dropout layer drops in training, in [0, 1), rounded to
        1/256. 0 leaves dropout out of the space.
    skip : bool, default=False
        Whether residual connections are in the search space: ``'skip'`` adds what a
        layer reads to what it gives. See :ref:`skip_connections`.
    search_strategy : str or object, default='reinforce'
        What proposes architectures. ``'reinforce'``, ``'random'``, ``'evolution'``,
        ``'progressive'``, ``'bayesian'``, ``'halving'``, ``'hyperband'``, ``'enas'``,
        ``'darts'`` and ``'morphnet'`` stand for classes such as `EnasStrategy` with
        their defaults; ``ReinforceStrategy(entropy=0.1)`` sets parameters, and a grid
        over ``search_strategy__entropy`` varies them. Your own inherits from
        `SearchStrategy`, or has ``setup``, ``ask`` and ``tell``. `fit` uses a clone of
        it, or a deep copy if it is not an estimator.
    objectives : tuple of str, default=('score',)
        What the search is for: ``'score'``, and costs that are to be low, of
        ``'n_parameters'`` and ``'latency'``. See :ref:`small_networks`.
    select : {'best', 'knee'} or callable, default='best'
        Which row of `pareto_front_` is refitted: the best score, the farthest from the
        line between the ends, or what a function of the front returns.
    n_rounds : int, default=5
        Rounds, in each of which the strategy proposes and learns from the rewards.
    n_architectures : int, default=8
        Architectures per round.
    search_epochs : int, default=15
        Epochs of a child's training in the search.
    search_n_iter_no_change : int, 'extrapolation' or None, default=3
        A child's training ends early when its validation loss has not improved for
        this many epochs; its best epoch counts. ``'extrapolation'`` is 3, and also
        ends what is :ref:`hopeless <halving>`. None trains for all and takes the last.
    n_finalists : int, default=3
        The best trials are trained again, from scratch and for longer (`max_iter`,
        `epoch_fractions`), before the choice; with two or more, `first_architecture`
        is among them. 0 chooses the best trial of the search as it is.
    n_ensemble : int, default=4
        Networks of the chosen architecture that the refit trains, side by side; they
        differ in their initial weights and dropout. Their probabilities are averaged.
    first_architecture : 'auto', Architecture, tuple or None, default='auto'
        Trial 0, which the others have to beat by more than chance. ``'auto'`` is three
        layers of 256 rectified units with dropout, or the closest architecture that the
        space contains. With None the search begins with the strategy's proposals.
    max_parameters : int or None, default=None
        Most weights and biases that a network may have: see :ref:`small_networks`.
    weight_sharing : bool, default=False
        Whether children inherit the weights of earlier ones that had the same pair of
        adjacent layers (one-shot learning).
    solver : {'adamw', 'adam', 'sgd', 'lbfgs'}, default='adamw'
        Optimiser of the networks. ``'sgd'`` is gradient descent with momentum.
        ``'lbfgs'`` takes all rows in every step: an epoch is an iteration, and learning
        rates, batches, dropout and patience have no meaning for it.
    alpha : float or 'auto', default='auto'
        Weight decay. With ``solver='adamw'`` it is decoupled: each step shrinks the
        weights by ``alpha`` times the learning rate. With any other solver it is the
        strength of the L2 term, divided by the batch size as in `MLPClassifier`.
        ``'auto'`` is 0.3 for the one and 0.0001 for the others.
    learning_rate : {'cosine', 'constant', 'invscaling', 'adaptive'}, default='cosine'
        Schedule of the learning rate. ``'cosine'`` falls to zero over a training. With
        ``solver='sgd'``, ``'invscaling'`` divides the rate by the square root of the
        number of the epoch, and ``'adaptive'`` divides it by 5 when two epochs in a row
        have hardly lowered the training loss; with others these are ``'constant'``.
    learning_rate_init : float, default=0.003
        Learning rate at the beginning.
    batch_size : int or 'auto', default='auto'
        Rows per update. ``'auto'`` is the greatest power of two that is no more than
        an eighth of the rows, between 16 and 256.
    label_smoothing : float, default=0.1
        Share of a target's probability that is spread over all classes, in [0, 1).
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes by label, which those of the rows are multiplied by, in
        training and in everything that is measured on validation rows. ``'balanced'``
        makes classes count alike. Labels that a dict does not name have the weight 1.
    max_iter : int, default=60
        Epochs of the finalists and of the refit, at most.
    epoch_fractions : tuple of float, default=(0.25, 1.0)
        Fractions of `max_iter`. Every finalist is trained for each of them, with a
        schedule of the learning rate of its own, and the refit takes the one that the
        choice had: noisy tables need short trainings.
    validation_fraction : float, default=0.2
        Share of the rows that children and finalists are measured on, in (0, 1).
    n_splits : int or 'auto', default='auto'
        Every finalist is trained on this many splits, each with validation rows of its
        own; the search uses the first. ``'auto'`` takes enough to measure on 1,000
        rows, but at most five: one from 5,000 rows on.
    n_iter_no_change : int or None, default=None
        The training of a finalist ends early when its validation loss has not
        improved for this many epochs; the refit then takes as many epochs as were
        best. None trains for `max_iter` epochs.
    refit : {'scratch', 'fine-tune'}, default='scratch'
        Whether the network is trained on all rows from new weights, or from those
        that the chosen architecture had in validation.
    scoring : str, callable or None, default=None
        Scorer of the validation rows, which the search maximises. With None the
        scores reported are accuracies; what ranks children is the accuracy plus half
        the mean log-probability of the true classes, which tells architectures apart
        where accuracies of few rows cannot.
    encoding : {'auto', 'piecewise', 'scale', 'passthrough'}, default='auto'
        How numbers and dates are encoded. ``'scale'`` makes them robust against
        outliers; ``'piecewise'`` adds what a piecewise linear function of each needs,
        if there are no more than 170; ``'auto'`` searches with these and leaves them
        out if the chosen architecture validates better without. ``'passthrough'``
        takes numbers as they are. Missing values and categories are always encoded.
        Text that is mostly numbers or dates is read as such (:ref:`text_columns`). See
        :ref:`encoding`.
    max_time : float or None, default=None
        Seconds for all of `fit`, counted from the call. The search may use two fifths
        of them, the selection half of what is left; trainings are shortened to fit in,
        and large tables sampled. At least one child is trained, if only on a few
        batches. The result depends on the machine. None sets no limit.
    device : str, default='auto'
        Where networks are trained: ``'cpu'``, ``'cuda'``, ``'cuda:1'``; ``'auto'``
        takes CUDA where there is one. The fitted estimator holds arrays only.
    n_jobs : int or None, default=None
        Processes that train children on a CPU, -1 for all cores. None is 1 unless in
        a ``joblib.parallel_config`` context. One process trains large children in as
        many threads as torch may use. The result depends on neither.
    random_state : int, RandomState instance or None, default=None
        An int makes the result reproducible. No global state is read or changed.
    verbose : bool or int, default=False
        Whether to report progress: 1 for a bar if tqdm is installed, else a line for
        each round; 2 for a line for each trial.
    warm_start : bool, default=False
        Whether `fit` continues the search of the last fit, and refits the networks: see
        :ref:`learning_on`.

    Attributes
    ----------
    best_architecture_ : Architecture
        The architecture chosen.
    best_params_ : dict
        What of the chosen finalist differs from the parameters:
        ``from_architecture(**best_params_)``, with all other parameters that were set,
        makes an estimator that trains it without a search. Its predictions are the
        same, unless weights were inherited or `max_time` shortened a training.
    best_score_ : float
        Validation score of the chosen finalist, before the refit. It is optimistic
        because it is the best of several scores (by 0.04 on 200 rows of noise), and
        pessimistic because the networks were trained on part of the rows. Overall it is
        within 0.01 of the test accuracy on average, from 3,000 rows on.
    score_bound_ : float
        With probability 0.95 over the draw of the validation rows, the accuracy of the
        chosen finalist's networks is not below this: a union over all that could have
        been chosen, hence loose. NaN without finalists, with `n_iter_no_change` or
        `max_time`, with candidates' own settings, or if `scoring` is not the accuracy.
    best_index_ : int
        The row of `search_results_` that was chosen.
    search_results_ : dict of ndarray
        One row for each trial, in the order of proposal, ready for a DataFrame:
        ``architecture``; ``round`` from 0; ``status``, ``'trained'`` or ``'failed'``;
        ``score`` in `scoring`; ``loss``, the validation log loss;
        ``predicted_score``, a guess at the reward before training; ``reward`` as told
        to the strategy; ``n_parameters``; ``max_iter``, epochs asked for; ``n_iter``,
        epochs trained; ``cost``, the seconds that these take by a model of a CPU, alike
        on every machine; ``time`` in seconds; ``rank_score``, 1 for the best score.
    finalist_results_ : dict of ndarray
        One row for each training of a finalist: ``index`` in `search_results_`,
        ``architecture``, ``encoding`` of the numbers, ``max_iter``, ``score``,
        ``loss``, ``n_iter``, ``time``, and ``chosen``, which is true of one of them.
        Without finalists the columns are empty.
    pareto_front_ : dict of ndarray
        The trials that no other one beats in all of `objectives`, the most costly one
        first, for `fit_point`: ``index`` in `search_results_`, ``architecture``,
        ``score``, ``n_parameters``, latencies if sought, ``finalist_score`` and
        ``finalist_max_iter``. With one objective it is the choice.
    round_results_ : dict of ndarray
        One row for each round: ``round``, ``n_trials``, ``mean_score``, ``best_score``,
        ``time`` and ``time_children``, the seconds of the round and of the training in
        it, and what the strategy reports of its update, such as ``entropy``.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    sparse_output_ : bool
        Whether `predict` returns a sparse matrix: whether y of `fit` was one.
    ensemble_ : FittedEnsemble
        The networks that predict: ``ensemble_.members`` lists them, each with its
        ``architecture``, ``coefs``, ``intercepts``, ``projections`` and ``weight``.
    coefs_ : list of ndarray of shape (n_in, n_out)
        Weights of each layer of the first member. ``coefs_[0]`` has one row for each
        column of the encoded table.
    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer of the first member.
    temperature_ : float
        What the logarithms of the members' averaged probabilities are divided by, so
        that the probabilities are calibrated: the value that minimises the log loss on
        the validation rows. 1 without finalists.
    encoder_ : TableEncoder
        Turns a table into the matrix that the network sees.
    loss_curve_ : list of float
        Training loss of each of the `n_iter_` epochs, averaged over the networks.
    loss_ : float
        Last value of `loss_curve_`.
    best_loss_ : float
        Lowest value of `loss_curve_`.
    validation_scores_ : list of float
        Validation accuracy of each epoch of the chosen finalist.
    best_validation_score_ : float
        Highest value of `validation_scores_`.
    n_iter_ : int
        Epochs of the refit, and of later calls of `partial_fit`.
    t_ : int
        Rows seen in these: epochs times rows.
    n_layers_ : int
        Layers, with the input and the output, without dropout.
    n_outputs_ : int
        Units of the output layer: 1 for two classes, else one for each class.
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
    interrupted_ : {'search', 'selection', 'refit'} or None
        The stage in which Ctrl-C ended the fit; None if it ran to its end.
    continued_on_ : {'same rows', 'new rows', 'new settings'} or None
        On what the search of an earlier fit was continued; None if it began anew.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : The network without the search.

    Notes
    -----
    The method is that of section 4 and appendix A of [1]_; `sknas.PAPER_SETTINGS`
    holds the settings of its section 5.1, the defaults are ours.

    Parameters of `MLPClassifier` that are not listed are taken as keywords too:
    ``activation``, ``beta_1``, ``beta_2``, ``early_stopping``, ``epsilon``,
    ``max_fun``, ``momentum``, ``nesterovs_momentum``, ``power_t``, ``shuffle`` and
    ``tol``. They are among ``get_params`` once they were given.
    :ref:`from_mlp_classifier` says what each does here.

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
    >>> classifier = NASMLPClassifier(
    ...     n_rounds=2, n_architectures=3, max_iter=20, random_state=0
    ... )
    >>> classifier.fit(X_train, y_train).score(X_test, y_test) > 0.9
    True
    >>> len(classifier.search_results_["architecture"])
    6
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseNASMLP._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        *,
        layer_widths: tuple[int, ...] = (16, 32, 64, 128, 256),
        activations: tuple[str, ...] = ("relu", "elu", "tanh", "sigmoid"),
        max_layers: int = 7,
        dropout: float = 0.2,
        skip: bool = False,
        search_strategy: str | SearchStrategy = "reinforce",
        objectives: tuple[str, ...] = ("score",),
        select: str | Callable[[dict[str, np.ndarray]], int] = "best",
        n_rounds: int = 5,
        n_architectures: int = 8,
        search_epochs: int = 15,
        search_n_iter_no_change: int | str | None = 3,
        n_finalists: int = 3,
        n_ensemble: int = 4,
        first_architecture: str | Architecture | tuple[Any, ...] | None = "auto",
        max_parameters: int | None = None,
        weight_sharing: bool = False,
        solver: str = "adamw",
        alpha: float | str = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 0.003,
        batch_size: int | str = "auto",
        label_smoothing: float = 0.1,
        class_weight: dict[Any, float] | str | None = None,
        max_iter: int = 60,
        epoch_fractions: tuple[float, ...] = (0.25, 1.0),
        validation_fraction: float = 0.2,
        n_splits: int | str = "auto",
        n_iter_no_change: int | None = None,
        refit: str = "scratch",
        scoring: str | Callable[..., float] | None = None,
        encoding: str = "auto",
        max_time: float | None = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool | int = False,
        warm_start: bool = False,
    ) -> None:
        self.layer_widths = layer_widths
        self.activations = activations
        self.max_layers = max_layers
        self.dropout = dropout
        self.skip = skip
        self.search_strategy = search_strategy
        self.objectives = objectives
        self.select = select
        self.n_rounds = n_rounds
        self.n_architectures = n_architectures
        self.search_epochs = search_epochs
        self.search_n_iter_no_change = search_n_iter_no_change
        self.n_finalists = n_finalists
        self.n_ensemble = n_ensemble
        self.first_architecture = first_architecture
        self.max_parameters = max_parameters
        self.weight_sharing = weight_sharing
        self.solver = solver
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.epoch_fractions = epoch_fractions
        self.validation_fraction = validation_fraction
        self.n_splits = n_splits
        self.n_iter_no_change = n_iter_no_change
        self.refit = refit
        self.scoring = scoring
        self.encoding = encoding
        self.max_time = max_time
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> NASMLPClassifier:
        """Search for an architecture and train it.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            The table. Columns may hold numbers, booleans, dates, durations, categories
            or text, and miss values. DataFrames may be those of pandas, with any of its
            dtypes, or of polars. Large sparse matrices stay sparse (:ref:`how
            <sparse_tables>`). Tensors of torch and other arrays that follow the array
            API standard are taken as well, as y and sample_weight too.

        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels; or, of several labels per row, an array or a sparse matrix of 0
            and 1.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, not negative, in training and in all that is measured
            on validation rows. A row of weight 0 is left out. None weights all rows
            alike.

        Returns
        -------
        NASMLPClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or a weight is not valid, before anything is trained;
            if every child failed.
        KeyboardInterrupt
            After Ctrl-C. If one trial had finished, the best result so far has been
            published: the estimator can predict, and `interrupted_` names the stage.
        """
        self._fit(X, y, sample_weight)
        return self

    def _make_task(
        self,
        X: Any,
        y: Any,
        sample_weight: np.ndarray | None,
        classes: np.ndarray | None = None,
    ) -> Task:
        from sknas._tasks.classification import Classification
        from sknas._tasks.multilabel import Multilabel, has_several_columns

        if not has_several_columns(y):
            return Classification.from_target(
                self, X, y, sample_weight, self.class_weight, classes
            )
        if self.class_weight is not None:
            raise ValueError(
                "class_weight must be None for a target of several labels per row. Got "
                f"{self.class_weight!r} instead. Give sample_weight to fit."
            )
        return Multilabel.from_target(self, X, y, sample_weight)
