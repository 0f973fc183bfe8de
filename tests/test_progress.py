import sys

import pytest

from sknas import Architecture, NASMLPClassifier
from sknas._progress import Progress


def _run(verbose):
    progress = Progress(4, verbose)
    for number, score in enumerate([0.5, 0.75]):
        progress.trial(Architecture((8, "relu")), score, score)
        progress.round(number + 1, 2, number + 1, score)
    progress.stage("refitting")
    progress.close()


@pytest.fixture
def _without_tqdm(monkeypatch):
    # None in sys.modules makes the import fail.
    monkeypatch.setitem(sys.modules, "tqdm", None)


@pytest.mark.parametrize("verbose", [0, False])
def test_nothing_is_written_unless_asked_for(verbose, capsys):
    _run(verbose)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.usefixtures("_without_tqdm")
def test_without_tqdm_a_line_a_round_is_written_to_stderr(capsys):
    _run(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "[sknas] round 1/2: 1 trials, best score 0.5000",
        "[sknas] round 2/2: 2 trials, best score 0.7500",
        "[sknas] refitting",
    ]


@pytest.mark.usefixtures("_without_tqdm")
def test_more_verbose_is_a_line_a_trial_too(capsys):
    _run(2)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 5
    assert lines[0] == "[sknas] score 0.5000  Architecture((8, 'relu'))"


@pytest.mark.parametrize("verbose", [True, 1, 2])
def test_with_tqdm_a_bar_is_written_to_stderr(verbose, capsys):
    pytest.importorskip("tqdm", reason="the bar is tqdm's")
    _run(verbose)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "search:" in captured.err
    assert "best=0.7500" in captured.err
    assert "[sknas] refitting" in captured.err
    assert ("[sknas] score 0.5000" in captured.err) == (verbose == 2)
    assert "round 1/2" not in captured.err


def test_closing_twice_is_harmless(capsys):
    progress = Progress(1, 1)
    progress.close()
    progress.close()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_without_tqdm")
def test_fit_is_silent_by_default_and_reports_when_asked(fast, binary_table, capsys):
    NASMLPClassifier(**fast).fit(*binary_table).predict(binary_table[0])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    NASMLPClassifier(**fast, verbose=1).fit(*binary_table)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert all(line.startswith("[sknas] ") for line in lines)
    assert sum(line.startswith("[sknas] round ") for line in lines) == 2
    assert any("finalists" in line for line in lines)
    assert any(line.startswith("[sknas] refitting Architecture(") for line in lines)
    NASMLPClassifier(**fast, verbose=2).fit(*binary_table)
    assert capsys.readouterr().err.count("[sknas] score ") == 4


def test_results_do_not_depend_on_what_is_shown(fast, binary_table, capsys):
    X, y = binary_table
    silent = NASMLPClassifier(**fast).fit(X, y).predict_proba(X)
    shown = NASMLPClassifier(**fast, verbose=2).fit(X, y).predict_proba(X)
    assert (silent == shown).all()
    assert capsys.readouterr().out == ""
