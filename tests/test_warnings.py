import warnings
from pathlib import Path

import pytest

from sknas import NASMLPClassifier, _warnings
from sknas._warnings import warn


def _line_of_caller(function):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    (warning,) = caught
    return warning.filename, str(warning.message)


def test_a_warning_points_outside_of_the_package():
    assert _line_of_caller(lambda: warn("text")) == (__file__, "text")


def test_a_file_beside_the_package_is_the_users():
    """Its name may begin with the package's."""
    path = f"{Path(_warnings.__file__).parent}_app.py"
    names = {"warn": warn}
    exec(compile("def call():\n    warn('text')", path, "exec"), names)  # noqa: S102
    assert _line_of_caller(names["call"]) == (path, "text")


def test_a_warning_of_fit_points_at_the_line_that_called_it(fast):
    with pytest.warns(UserWarning, match="only one row") as caught:
        NASMLPClassifier(**fast).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 0, 1])
    assert {warning.filename for warning in caught} == {__file__}


def test_the_category_is_given():
    with pytest.warns(FutureWarning, match="soon"):
        warn("soon", FutureWarning)
