import ast
import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpydoc.docscrape import ClassDoc
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknas import (
    PAPER_SETTINGS,
    Architecture,
    Candidate,
    NASMLPClassifier,
    ReinforceStrategy,
    SearchStrategy,
)


def _assert_same_results(first, second):
    """Compare ``search_results_`` bit by bit, but for the times."""
    assert list(first) == list(second)
    for name in first:
        if name != "time":
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# What fit leaves behind.


def test_fitted_attributes_are_the_documented_ones(fast, binary_table):
    X, y = binary_table
    frame = pd.DataFrame(X, columns=list("abcdef"))
    classifier = NASMLPClassifier(**fast).fit(frame, y)
    fitted = set(vars(classifier)) - set(classifier.get_params())
    documented = {item.name for item in ClassDoc(NASMLPClassifier)["Attributes"]}
    assert fitted == documented
    assert all(name.endswith("_") and not name.startswith("_") for name in fitted)


def test_the_constructor_only_assigns():
    parameters = NASMLPClassifier().get_params(deep=False)
    assert set(NASMLPClassifier._parameter_constraints) == set(parameters)
    given = {name: object() for name in parameters}
    classifier = NASMLPClassifier(**given)
    assert all(vars(classifier)[name] is given[name] for name in given)
    assert set(vars(classifier)) == set(given)
    with pytest.raises(TypeError, match="positional argument"):
        NASMLPClassifier((8, 16))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_attributes_are_those_of_a_multilayer_perceptron(
    n_classes, fast, binary_table, three_class_table
):
    X, y = {2: binary_table, 3: three_class_table}[n_classes]
    ours = NASMLPClassifier(**fast, first_architecture=[(16, "relu"), (8, "tanh")])
    ours.set_params(n_rounds=1, n_architectures=1, n_finalists=1).fit(X, y)
    theirs = MLPClassifier(hidden_layer_sizes=(16, 8), max_iter=3, early_stopping=True)
    with warnings.catch_warnings():
        # Not every version of scikit-learn warns of so few epochs.
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.set_params(random_state=0).fit(X, y)
    # Names of their optimiser's insides aside.
    for name in set(vars(theirs)) - set(theirs.get_params()):
        if name.endswith("_") and not name.startswith("_"):
            assert hasattr(ours, name), name
    assert ours.best_architecture_.hidden_layer_sizes == (16, 8)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    assert [c.shape for c in ours.coefs_] == [c.shape for c in theirs.coefs_]
    assert [b.shape for b in ours.intercepts_] == [b.shape for b in theirs.intercepts_]
    assert ours.n_iter_ == len(ours.loss_curve_) == 3
    assert ours.loss_ == ours.loss_curve_[-1]
    assert ours.best_loss_ == min(ours.loss_curve_)
    assert ours.best_validation_score_ == max(ours.validation_scores_)
    assert len(ours.validation_scores_) == 3
    assert ours.t_ == 3 * len(X)
    assert ours.device_ == ("cuda" if torch.cuda.is_available() else "cpu")
    assert ours.search_time_ > 0
    assert ours.refit_time_ > 0


def test_a_binary_target_ends_in_one_logistic_unit(fast, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert (classifier.n_outputs_, classifier.out_activation_) == (1, "logistic")
    assert classifier.coefs_[-1].shape[1] == 1
    assert classifier.predict_proba(X).shape == (90, 2)


def test_more_classes_end_in_a_softmax(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert (classifier.n_outputs_, classifier.out_activation_) == (3, "softmax")
    assert classifier.coefs_[-1].shape[1] == 3


def test_predictions_are_the_forward_pass_of_the_published_weights(
    fast, three_class_table
):
    X, y = three_class_table
    functions = {
        "relu": torch.relu,
        "elu": torch.nn.functional.elu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }
    for activation, function in functions.items():
        classifier = NASMLPClassifier(**{**fast, "activations": (activation,)})
        classifier.fit(X, y)
        encoded = torch.tensor(classifier.encoder_.transform(X))
        of_networks = []
        for network in range(2):
            hidden = encoded
            member = classifier.ensemble_.members[network]
            for layer, coefs in enumerate(member.coefs):
                hidden = hidden @ torch.tensor(coefs)
                hidden = hidden + torch.tensor(member.intercepts[layer])
                if layer < len(classifier.coefs_) - 1:
                    hidden = function(hidden)
            of_networks.append(torch.softmax(hidden, dim=1).numpy())
        assert np.abs(of_networks[0] - of_networks[1]).max() > 1e-3
        # Averaged first, then calibrated as a whole.
        expected = np.mean(of_networks, axis=0) ** (1 / classifier.temperature_)
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-12)
        np.testing.assert_allclose(
            classifier.predict_log_proba(X), np.log(expected), atol=1e-10
        )
        labels = classifier.classes_[expected.argmax(axis=1)]
        np.testing.assert_array_equal(classifier.predict(X), labels)
        assert classifier.score(X, y) == (labels == y).mean()


def test_search_results_have_the_promised_columns(fast, three_class_table):
    classifier = NASMLPClassifier(**fast).fit(*three_class_table)
    results = classifier.search_results_
    assert list(results) == [
        "architecture",
        "round",
        "status",
        "score",
        "loss",
        "predicted_score",
        "reward",
        "n_parameters",
        "max_iter",
        "n_iter",
        "cost",
        "time",
        "rank_score",
    ]
    assert {len(column) for column in results.values()} == {4}
    frame = pd.DataFrame(results).sort_values("rank_score")
    assert frame["rank_score"].iloc[0] == 1
    assert (frame["status"] == "trained").all()
    assert (frame["n_iter"] <= 2).all()
    # The reward is the accuracy less half the loss at the best temperature.
    assert (results["reward"] <= results["score"]).all()
    assert (results["reward"] >= results["score"] - results["loss"] / 2 - 1e-4).all()
    chosen = results["architecture"][classifier.best_index_]
    assert chosen == classifier.best_architecture_
    finalists = classifier.finalist_results_
    assert set(finalists) == {
        "index",
        "architecture",
        "encoding",
        "max_iter",
        "score",
        "loss",
        "n_iter",
        "time",
        "chosen",
    }
    assert classifier.best_score_ in finalists["score"]
    (row,) = np.flatnonzero(finalists["index"] == classifier.best_index_)
    assert finalists["architecture"][row] == classifier.best_architecture_
    rounds = classifier.round_results_
    assert rounds["round"].tolist() == [0, 1]
    assert rounds["n_trials"].sum() == 4
    assert np.isfinite(rounds["entropy"]).all()


def test_with_a_scorer_score_and_reward_are_the_scorers(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast, scoring="neg_log_loss").fit(X, y)
    results = classifier.search_results_
    np.testing.assert_allclose(results["score"], -results["loss"], rtol=1e-4)
    np.testing.assert_array_equal(results["score"], results["reward"])
    assert classifier.best_score_ < 0
    # score stays the accuracy.
    assert classifier.score(X, y) == (classifier.predict(X) == y).mean()


def test_the_first_architecture_is_trial_zero(fast, three_class_table):
    first = Architecture((16, "tanh"), "dropout", (8, "elu"))
    for given in (first, first.layers, list(first.layers)):
        classifier = NASMLPClassifier(**fast, first_architecture=given)
        classifier.fit(*three_class_table)
        assert classifier.search_results_["architecture"][0] == first
        assert first in classifier.finalist_results_["architecture"]
    strong = NASMLPClassifier(**fast).fit(*three_class_table)
    assert strong.search_results_["architecture"][0] == Architecture(
        *[(16, "relu"), "dropout"] * 3
    )


def test_logistic_is_accepted_for_sigmoid(fast, binary_table):
    classifier = NASMLPClassifier(**fast, activations=("logistic",)).fit(*binary_table)
    assert {name for _, name in classifier.best_architecture_.dense_layers} == {
        "sigmoid"
    }
    assert classifier.activations == ("logistic",)


def test_without_dropout_there_is_none_in_the_space(fast, binary_table):
    classifier = NASMLPClassifier(**fast, dropout=0).fit(*binary_table)
    for architecture in classifier.search_results_["architecture"]:
        assert "dropout" not in architecture.layers


@pytest.mark.parametrize("dropout", [0.001, 0.999])
def test_any_dropout_of_the_range_trains(dropout, fast, binary_table):
    NASMLPClassifier(**fast, dropout=dropout).fit(*binary_table)


def test_epochs_of_the_finalist_decide_those_of_the_refit(fast, three_class_table):
    X, _ = three_class_table
    # Labels that mean nothing: validation soon gets worse.
    y = np.random.default_rng(0).integers(2, size=len(X))
    fast.update(max_iter=60, learning_rate_init=0.05, n_finalists=1)
    classifier = NASMLPClassifier(**fast, n_iter_no_change=2).fit(X, y)
    (n_iter,) = classifier.finalist_results_["n_iter"]
    assert classifier.n_iter_ == n_iter - 2 < 60


def test_fine_tuning_begins_with_the_winners_weights(fast, three_class_table):
    fast.update(n_finalists=0, learning_rate_init=0.02, search_epochs=20)
    fast.update(search_n_iter_no_change=None, max_iter=2, label_smoothing=0.0)
    first_losses = [
        NASMLPClassifier(**fast, refit=refit).fit(*three_class_table).loss_curve_[0]
        for refit in ("scratch", "fine-tune")
    ]
    assert first_losses[1] < 0.5 * first_losses[0]


def test_no_finalists_means_no_finalist_results(fast, three_class_table):
    classifier = NASMLPClassifier(**{**fast, "n_finalists": 0}).fit(*three_class_table)
    assert len(classifier.finalist_results_["index"]) == 0
    results = classifier.search_results_
    assert results["reward"][classifier.best_index_] == results["reward"].max()
    assert classifier.best_score_ == results["score"][classifier.best_index_]


def test_a_good_network_is_found_on_iris():
    X, y = load_iris(return_X_y=True)
    classifier = NASMLPClassifier(
        layer_widths=(32, 64),
        n_rounds=2,
        n_architectures=3,
        search_epochs=10,
        n_finalists=2,
        max_iter=40,
        random_state=0,
    )
    assert classifier.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) >= 0.93


# Determinism.


def test_the_same_seed_gives_the_same_result_for_any_n_jobs(fast, three_class_table):
    X, y = three_class_table
    fast.update(n_architectures=3, weight_sharing=True)
    first, second, two_jobs, other = (
        NASMLPClassifier(**{**fast, **changed}).fit(X, y)
        for changed in ({}, {}, {"n_jobs": 2}, {"random_state": 1})
    )
    for again in (second, two_jobs):
        _assert_same_results(first.search_results_, again.search_results_)
        np.testing.assert_array_equal(first.predict_proba(X), again.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), other.predict_proba(X))


def test_the_result_is_the_same_in_a_process_with_another_hash_seed(
    fast, mixed_frame, run_python, tmp_path
):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast, weight_sharing=True)
    path = tmp_path / "in.pickle"
    path.write_bytes(pickle.dumps((classifier, X, y)))
    program = f"""
import pickle
with open({str(path)!r}, "rb") as file:
    classifier, X, y = pickle.load(file)
classifier.fit(X, y)
with open({str(path)!r}, "wb") as file:
    pickle.dump((classifier.search_results_, classifier.predict_proba(X)), file)
"""
    run_python(program, hash_seed="4321")
    results, probabilities = pickle.loads(path.read_bytes())
    classifier.fit(X, y)
    _assert_same_results(classifier.search_results_, results)
    np.testing.assert_array_equal(classifier.predict_proba(X), probabilities)


def test_the_users_global_generators_do_not_matter(fast, binary_table):
    X, y = binary_table
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    numpy_state = np.random.get_state()  # noqa: NPY002
    torch_state = torch.get_rng_state()
    try:
        np.random.seed(99)  # noqa: NPY002
        torch.manual_seed(99)  # noqa: TID251
        reseeded = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
    np.testing.assert_array_equal(reseeded, expected)


def test_without_a_random_state_two_fits_differ(fast, binary_table):
    X, y = binary_table
    fast.update(random_state=None)
    first, second = (NASMLPClassifier(**fast).fit(X, y).coefs_ for _ in range(2))
    assert not np.array_equal(first[0][0], second[0][0])


def test_a_random_state_instance_is_accepted(fast, binary_table):
    X, y = binary_table
    first, second = (
        NASMLPClassifier(**{**fast, "random_state": np.random.RandomState(3)}).fit(X, y)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))


def test_fitting_twice_forgets_the_first_fit(fast, binary_table, three_class_table):
    X, y = three_class_table
    fresh = NASMLPClassifier(**fast).fit(X, y)
    refitted = NASMLPClassifier(**fast).fit(*binary_table).fit(X, y)
    _assert_same_results(fresh.search_results_, refitted.search_results_)
    np.testing.assert_array_equal(fresh.predict_proba(X), refitted.predict_proba(X))


# Inputs.


def test_inputs_are_not_written_to(fast, three_class_table):
    X, y = (array.copy() for array in three_class_table)
    X.flags.writeable = y.flags.writeable = False
    classifier = NASMLPClassifier(**fast).fit(X, y)
    classifier.predict_proba(X)
    np.testing.assert_array_equal(X, three_class_table[0])
    as_float32 = X.astype(np.float32)
    as_float32.flags.writeable = False
    NASMLPClassifier(**fast).fit(as_float32, y).predict(as_float32)


def test_frames_and_sparse_matrices_are_not_written_to(fast, mixed_frame, binary_table):
    X, y = mixed_frame
    copied = X.copy(deep=True)
    NASMLPClassifier(**fast).fit(X, y).predict(X)
    pd.testing.assert_frame_equal(X, copied)
    X, y = binary_table
    matrix = sparse.csr_array(X * (X > 0))
    copied = matrix.copy()
    NASMLPClassifier(**fast).fit(matrix, y).predict(matrix)
    np.testing.assert_array_equal(matrix.data, copied.data)


def test_sparse_equals_dense(fast, binary_table):
    X, y = binary_table
    X = X * (X > 0)
    dense = NASMLPClassifier(**fast).fit(X, y)
    for make in (sparse.csr_matrix, sparse.csc_array, sparse.coo_array):
        other = NASMLPClassifier(**fast).fit(make(X), y)
        np.testing.assert_array_equal(
            dense.predict_proba(X), other.predict_proba(make(X))
        )


def test_a_table_of_every_kind_fits_and_takes_unseen_categories(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert classifier.coefs_[0].shape[0] == classifier.encoder_.n_features_out_ == 19
    assert classifier.feature_names_in_.tolist() == list(X.columns)
    unseen = X.assign(object="violet", text="violet", number=np.nan)
    assert np.isfinite(classifier.predict_proba(unseen)).all()


def test_an_object_array_equals_the_data_frame(fast, mixed_frame):
    X, y = mixed_frame
    frame = NASMLPClassifier(**fast).fit(X, y)
    array = NASMLPClassifier(**fast).fit(X.to_numpy(dtype=object), y)
    np.testing.assert_array_equal(
        frame.predict_proba(X), array.predict_proba(X.to_numpy(dtype=object))
    )


def test_lists_of_numbers_and_text_are_tables(fast):
    X = [[1.5, "red", True], [2.5, "blue", False], [0.5, None, True]] * 10
    y = ["a", "b", "a"] * 10
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert classifier.encoder_.kinds_ == ["numeric", "categorical", "numeric"]
    array = NASMLPClassifier(**fast).fit(np.array(X, dtype=object), y)
    np.testing.assert_array_equal(classifier.predict_proba(X), array.predict_proba(X))


def test_numeric_nullable_frames_with_missing_values_fit(fast, binary_table):
    X, y = binary_table
    frame = pd.DataFrame(X).round().astype("Int64").astype(object)
    frame.iloc[::7, 0] = pd.NA
    frame = frame.astype("Int64")
    frame.columns = frame.columns.astype(str)
    classifier = NASMLPClassifier(**fast).fit(frame, y)
    assert classifier.n_features_in_ == 6
    assert np.isfinite(classifier.predict_proba(frame)).all()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, -7]),
        np.array(["no", "yes"]),
        np.array(["no", "yes"], dtype=object),
        np.array([False, True]),
        np.array([0.0, 1.0]),
        pd.Series(["no", "yes"], dtype="string"),
        pd.Series(["no", "yes"], dtype="category"),
        pd.Series([3, 7], dtype="Int64"),
    ],
    ids=lambda labels: f"{type(labels).__name__}-{labels.dtype}",
)
def test_labels_of_any_type_come_back(labels, fast, binary_table):
    X, y = binary_table
    target = labels.take(y) if isinstance(labels, pd.Series) else labels[y]
    classifier = NASMLPClassifier(**fast).fit(X, target)
    assert list(classifier.classes_) == sorted(labels)
    # The network sees codes alone: what they are called changes nothing else.
    _, codes = np.unique(np.asarray(target), return_inverse=True)
    of_codes = NASMLPClassifier(**fast).fit(X, codes)
    np.testing.assert_array_equal(
        classifier.predict_proba(X), of_codes.predict_proba(X)
    )
    predicted = classifier.predict(X)
    assert predicted.tolist() == [sorted(labels)[code] for code in of_codes.predict(X)]
    assert classifier.score(X, np.asarray(target)) == of_codes.score(X, codes)


def test_rows_are_predicted_alike_in_chunks_and_alone(
    fast, three_class_table, monkeypatch
):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast).fit(X, y)
    whole = classifier.predict_proba(X)
    monkeypatch.setattr("sknas._model.ensemble._CHUNK", 7)
    np.testing.assert_allclose(classifier.predict_proba(X), whole, rtol=1e-12)


# In the company of scikit-learn's own.


def _holds_torch(estimator):
    """Look at the names of all that a pickle would load."""
    import pickletools

    payload = pickle.dumps(estimator, protocol=2)
    modules = [
        str(argument).split(" ")[0]
        for opcode, argument, _ in pickletools.genops(payload)
        if opcode.name == "GLOBAL"
    ]
    assert any(name.startswith("sknas") for name in modules)
    return any(name.split(".")[0] == "torch" for name in modules)


def test_a_fitted_estimator_survives_pickle_and_joblib(fast, mixed_frame):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast).fit(X, y)
    assert not _holds_torch(classifier)
    assert _holds_torch([classifier, torch.float32])
    buffer = io.BytesIO()
    joblib.dump(classifier, buffer)
    buffer.seek(0)
    for again in (
        pickle.loads(pickle.dumps(classifier)),
        joblib.load(buffer),
        copy.deepcopy(classifier),
    ):
        np.testing.assert_array_equal(
            again.predict_proba(X), classifier.predict_proba(X)
        )
        _assert_same_results(again.search_results_, classifier.search_results_)
        assert again.best_architecture_ == classifier.best_architecture_


def test_the_estimator_works_in_a_grid_search_in_a_pipeline(fast, three_class_table):
    X, y = three_class_table
    pipeline = make_pipeline(StandardScaler(), NASMLPClassifier(**fast))
    grid = {
        "nasmlpclassifier__alpha": [1e-4, 0.1],
        "nasmlpclassifier__first_architecture": [None, Architecture((16, "relu"))],
    }
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (90,)
    assert set(search.best_params_) == set(grid)


def test_clones_are_unfitted_and_equal(fast, binary_table):
    X, y = binary_table
    original = NASMLPClassifier(**fast, first_architecture=Architecture((8, "relu")))
    original.fit(X, y)
    cloned = clone(original)
    assert not hasattr(cloned, "coefs_")
    assert repr(cloned) == repr(original)
    np.testing.assert_array_equal(
        cloned.fit(X, y).predict_proba(X), original.predict_proba(X)
    )


def test_the_estimator_works_inside_other_estimators(fast, binary_table):
    X, y = binary_table
    classifier = NASMLPClassifier(**fast)
    calibrated = CalibratedClassifierCV(classifier, cv=2).fit(X, y)
    voting = VotingClassifier(
        [("nas", classifier), ("linear", LogisticRegression())], voting="soft"
    ).fit(X, y)
    predicted = cross_val_predict(classifier, X, y, cv=2, method="predict_proba")
    for probabilities in (
        calibrated.predict_proba(X),
        voting.predict_proba(X),
        predicted,
    ):
        assert probabilities.shape == (90, 2)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_the_repr_shows_what_was_changed():
    text = repr(NASMLPClassifier(n_rounds=2, alpha=0.25))
    assert ast.unparse(ast.parse(text)) == "NASMLPClassifier(alpha=0.25, n_rounds=2)"


# The paper.


def test_the_papers_settings_run_reduced(three_class_table):
    X, y = three_class_table
    reduced = {"n_rounds": 2, "n_architectures": 2, "search_epochs": 1, "max_iter": 1}
    classifier = NASMLPClassifier(**{**PAPER_SETTINGS, **reduced}, random_state=0)
    classifier.fit(X, y)
    assert len(classifier.search_results_["score"]) == 4
    assert len(classifier.finalist_results_["index"]) == 0
    assert classifier.n_iter_ == 1
    # Scores are rewards: the paper's controller is told the accuracy.
    results = classifier.search_results_
    np.testing.assert_array_equal(results["score"], results["reward"])


def test_the_papers_settings_are_those_of_its_section_5_1():
    assert type(PAPER_SETTINGS) is dict
    assert set(PAPER_SETTINGS) <= set(NASMLPClassifier().get_params())
    printed = {
        "layer_widths": (8, 16, 32, 64, 128, 256, 512),
        "max_layers": 10,
        "dropout": 0.2,
        "n_rounds": 10,
        "n_architectures": 10,
        "search_epochs": 10,
        "search_n_iter_no_change": 3,
        "learning_rate_init": 0.001,
        "solver": "adam",
        "max_iter": 50,
        "refit": "fine-tune",
        "first_architecture": None,
        "n_finalists": 0,
    }
    assert {name: PAPER_SETTINGS[name] for name in printed} == printed
    assert set(PAPER_SETTINGS["activations"]) == {"sigmoid", "tanh", "relu", "elu"}
    assert PAPER_SETTINGS["search_strategy"].get_params() == {
        "hidden_size": 128,
        "n_layers": 1,
        "learning_rate": 0.01,
        "learning_rate_decay": 0.1,
        "batch_size": None,
        "discount": 0.9,
        "baseline": 0.5,
        "entropy": 0.0,
        "n_replays": 0,
        "accuracy_predictor": True,
        "predictor_candidates": 1,
        "predictor_bonus": 1.0,
        "cost_weight": 0.05,  # of no effect with one objective
    }


# On a GPU.


@pytest.mark.gpu
def test_on_cuda_the_result_is_arrays_of_the_cpu(
    fast, mixed_frame, run_python, tmp_path
):
    X, y = mixed_frame
    classifier = NASMLPClassifier(**fast, device="cuda", weight_sharing=True).fit(X, y)
    assert classifier.device_ == "cuda"
    assert not _holds_torch(classifier)
    assert all(type(coef) is np.ndarray for coef in classifier.coefs_)
    path = tmp_path / "classifier.pickle"
    path.write_bytes(pickle.dumps((classifier, X)))
    program = f"""
import pickle
with open({str(path)!r}, "rb") as file:
    classifier, X = pickle.load(file)
print(classifier.predict(X).tolist())
"""
    printed = run_python(program, CUDA_VISIBLE_DEVICES="")
    assert ast.literal_eval(printed) == classifier.predict(X).tolist()


@pytest.mark.gpu
def test_cuda_and_cpu_agree(fast, three_class_table):
    X, y = three_class_table
    fast.update(dropout=0.0, search_strategy="random")
    on_cpu, on_cuda = (
        NASMLPClassifier(**fast, device=device).fit(X, y) for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(
        on_cpu.search_results_["loss"], on_cuda.search_results_["loss"], rtol=1e-2
    )


@pytest.mark.parametrize(
    ("in_fit", "in_predict"),
    [
        (pd.Categorical([True, False] * 20), np.array([True, False] * 20)),
        (pd.Categorical(["1", "2"] * 20), np.array([1.0, 2.0] * 20)),
        (pd.Categorical([2**60 + 1, 2**60 + 3] * 20), [2**60 + 1, 2**60 + 3] * 20),
    ],
    ids=["booleans", "digits", "large integers"],
)
def test_a_category_is_known_again_when_its_column_is_numeric(in_fit, in_predict, fast):
    frame = pd.DataFrame({"category": in_fit, "number": np.linspace(0, 1, 40)})
    classifier = NASMLPClassifier(**fast).fit(frame, np.array([1, 0] * 20))
    np.testing.assert_array_equal(
        classifier.predict_proba(frame.assign(category=in_predict)),
        classifier.predict_proba(frame),
    )


def test_torchs_defaults_belong_to_the_user(fast, three_class_table):
    X, y = three_class_table
    fast = fast | {"weight_sharing": True, "dropout": 0.5}
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        classifier = NASMLPClassifier(**fast).fit(X, y)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected)


def test_after_a_failed_fit_the_estimator_is_not_fitted(fast, three_class_table):
    X, y = three_class_table
    classifier = NASMLPClassifier(**fast)
    with pytest.raises(ValueError, match="scoring"):
        classifier.set_params(scoring="roc_auc").fit(X, y)
    with pytest.raises(NotFittedError, match="not fitted"):
        classifier.predict(X)


def test_joblibs_backends_give_equal_results(fast, three_class_table):
    X, y = three_class_table
    expected = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    for backend in ("threading", "multiprocessing"):
        with joblib.parallel_config(backend, n_jobs=2):
            classifier = NASMLPClassifier(**fast).fit(X, y)
        np.testing.assert_array_equal(classifier.predict_proba(X), expected)


def test_numbers_that_came_as_text_are_numbers_which_is_told_once(fast):
    numbers = np.random.default_rng(0).normal(size=(40, 1)).round(6)
    y = np.array([0, 1] * 20)
    classifier = NASMLPClassifier(**fast)
    with pytest.warns(
        UserWarning,
        match=r"A text column was read as numbers or .*\n- 0: numbers$",
    ) as caught:
        classifier.fit(numbers.astype(str), y)
    assert [warning.filename for warning in caught] == [__file__]
    expected = NASMLPClassifier(**fast).fit(numbers, y).predict_proba(numbers)
    np.testing.assert_array_equal(classifier.predict_proba(numbers), expected)
    np.testing.assert_array_equal(
        classifier.predict_proba(numbers.astype(str)), expected
    )
    # Codes are few, words are no numbers, and a categorical dtype says what is meant.
    words = np.array([[f"word {i}"] for i in range(40)], dtype=object)
    category = pd.DataFrame({"a": pd.Categorical(numbers[:, 0].astype(str))})
    for table in (np.array([["1"], ["2"]] * 20), words, category):
        NASMLPClassifier(**fast).fit(table, y)


def test_parameters_of_a_strategy_that_is_a_name_cannot_be_set():
    classifier = NASMLPClassifier()
    with pytest.raises(ValueError, match="'search_strategy__entropy' cannot be set"):
        classifier.set_params(search_strategy__entropy=0.1)
    classifier.search_strategy = "halving"
    with pytest.raises(
        ValueError, match=r"such as search_strategy=HalvingStrategy\(\)"
    ):
        classifier.set_params(search_strategy__factor=3)
    classifier.set_params(
        search_strategy=ReinforceStrategy(), search_strategy__entropy=0.1
    )
    assert classifier.search_strategy.entropy == 0.1


# What was found, without a search.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoding": "auto", "epoch_fractions": (0.5, 1.0), "max_iter": 6},
        {"n_finalists": 0},
        {"n_iter_no_change": 2, "max_iter": 10},
        {"search_strategy": "candidates"},
    ],
    ids=["plain", "lengths and encodings", "no finalists", "early stop", "settings"],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_winner_of_a_search_is_fitted_again_without_it(
    changes, seed, fast, three_class_table
):
    X, y = three_class_table
    settings = {**fast, **changes, "random_state": seed, "n_architectures": 4}
    if changes.get("search_strategy") == "candidates":
        settings["search_strategy"] = VariedDecay()
        settings["first_architecture"] = None
    found = NASMLPClassifier(**settings).fit(X, y)
    own = ("layer_widths", "n_rounds", "n_architectures", "first_architecture")
    others = {name: value for name, value in settings.items() if name not in own}
    others = {**others, "search_strategy": "random", "n_finalists": 1}
    again = NASMLPClassifier.from_architecture(**{**others, **found.best_params_})
    again.fit(X, y)
    assert len(again.search_results_["score"]) == 1
    assert again.best_architecture_ == found.best_architecture_
    np.testing.assert_array_equal(again.predict_proba(X), found.predict_proba(X))


class VariedDecay(SearchStrategy):
    def draw(self, n):
        return [
            Candidate(self.space_.sample(self.generator_), (("alpha", float(decay)),))
            for decay in self.generator_.uniform(0, 1, n)
        ]


def test_one_architecture_is_fitted(three_class_table):
    X, y = three_class_table
    architecture = Architecture((16, "tanh"), "dropout", (8, "elu"))
    for given in (architecture, architecture.layers):
        classifier = NASMLPClassifier.from_architecture(
            given, max_iter=5, random_state=0
        )
        assert classifier.fit(X, y).best_architecture_ == architecture
    assert classifier.finalist_results_["architecture"][0] == architecture
    with pytest.raises(ValueError, match="must begin with a dense layer"):
        NASMLPClassifier.from_architecture(("dropout",))
