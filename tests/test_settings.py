"""From parameters to settings: nothing is filled in silently."""

from dataclasses import MISSING, fields

import pytest

from sknas import NASMLPClassifier
from sknas._engine.jobs import TrainingSettings
from sknas._fit.settings import (
    RefitSettings,
    SelectionSettings,
    read_settings,
)
from sknas._search.searcher import SearchSettings
from sknas._tasks.splits import SplitSettings

CLASSES = (
    SearchSettings,
    SelectionSettings,
    RefitSettings,
    SplitSettings,
    TrainingSettings,
)


@pytest.fixture
def parameters():
    return NASMLPClassifier().get_params(deep=False)


@pytest.mark.parametrize("settings_class", CLASSES, ids=lambda cls: cls.__name__)
def test_a_field_is_stated_by_the_estimator_or_else_has_a_default(
    settings_class, parameters
):
    # What 'auto' is for weight decay, the class of the estimator says.
    stated = {*parameters, "auto_decay"}
    for field in fields(settings_class):
        assert (field.name in stated) == (field.default is MISSING), field.name


@pytest.mark.parametrize("name", ["solver", "alpha", "n_splits", "n_ensemble"])
def test_a_parameter_that_was_renamed_is_missed_by_name(name, parameters):
    del parameters[name]
    with pytest.raises(TypeError, match=rf"needs \['{name}'\].* parameters of Renamed"):
        read_settings(parameters, "Renamed", 0.3)


def test_what_auto_is_depends_on_the_estimator(parameters):
    assert read_settings(parameters, "C", 0.3).training.weight_decay == 0.3
    assert read_settings(parameters, "R", 2.0).search_training.weight_decay == 2.0
    parameters["alpha"] = 0.5
    assert read_settings(parameters, "R", 2.0).training.weight_decay == 0.5


def test_an_estimator_may_have_no_labels_to_smooth(parameters):
    assert read_settings(parameters, "C", 0.3).training.label_smoothing == 0.1
    del parameters["label_smoothing"]
    settings = read_settings(parameters, "R", 0.3)
    assert settings.training.label_smoothing == 0.0
    assert settings.search_training.label_smoothing == 0.0


def test_the_search_has_epochs_and_patience_of_its_own(parameters):
    parameters.update(max_iter=7, n_iter_no_change=None)
    parameters.update(search_epochs=5, search_n_iter_no_change=2)
    settings = read_settings(parameters, "C", 0.3)
    in_search, in_full = settings.search_training, settings.training
    assert (in_search.max_iter, in_search.n_iter_no_change) == (5, 2)
    assert (in_full.max_iter, in_full.n_iter_no_change) == (7, None)
