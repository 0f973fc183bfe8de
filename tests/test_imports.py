"""The import graph, and how long files and functions may grow."""

import ast
import graphlib
import pickle
import statistics
from collections import Counter
from pathlib import Path

import pytest

import sknas
from sknas import NASMLPClassifier

PACKAGE = Path(sknas.__file__).parent
# The structure: each room may import those before it. What is not named here is ground,
# which stands on nothing of the package.
ROOMS = [
    "_space",
    "_table",
    "_model",
    "_tasks",
    "_engine",
    "_search",
    "_fit",
    "_export",
]
ROOMS += ["_paper", "_mlp_parameters", "_base", "_estimators", "__init__"]
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES]
)


def _room(path):
    """Return the folder or the file at the top that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _height(room):
    return ROOMS.index(room) if room in ROOMS else -1


def _imported(path):
    """Return full names of all that a file imports, in functions too."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "relative import"
            # `from sknas import _search` and `from sknas._fit import stages` import
            # modules too.
            if statement.module.split(".")[0] == "sknas":
                yield from (f"{statement.module}.{a.name}" for a in statement.names)
            else:
                yield statement.module


def _edges():
    edges = set()
    for path in FILES:
        for name in _imported(path):
            parts = name.split(".")
            if parts[0] == "sknas" and _room(path) != parts[1]:
                edges.add((_room(path), parts[1]))
    return edges


def _module_edges():
    """Return the edges between files, packages standing for their ``__init__``."""
    modules = {
        ".".join(("sknas", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in FILES
    }
    for path in FILES:
        importer = ".".join(("sknas", *path.relative_to(PACKAGE).with_suffix("").parts))
        for name in _imported(path):
            for imported in (name, name.rpartition(".")[0]):
                for module in (imported, f"{imported}.__init__"):
                    if module in modules - {importer, "sknas.__init__"}:
                        yield importer, module


def test_imports_go_down_only():
    upwards = {(a, b) for a, b in _edges() if _height(a) <= _height(b)}
    assert upwards == set()
    assert len(_edges()) > 20


def test_a_strategy_sees_the_space_and_no_more():
    seen = {
        name
        for path in FILES
        if "strategies" in path.parts
        for name in _imported(path)
        if name.startswith("sknas._")
    }
    rooms = {name.split(".")[1] for name in seen}
    assert "_space" in rooms
    assert {room for room in rooms if _height(room) > 0} <= {"_search"}
    assert all(
        name.startswith("sknas._search.strategies.")
        for name in seen
        if name.startswith("sknas._search")
    )


def test_no_stage_is_given_an_estimator():
    """But for the tasks, and for what scikit-learn checks for it."""
    given = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.arg) and node.arg == "estimator"
    }
    may_be_given = {"_tasks", "_estimators"}
    others = {name for name in given if _room(PACKAGE / name) not in may_be_given}
    assert others == {"_fit/validation.py"}


def test_there_is_no_cycle():
    sorter = graphlib.TopologicalSorter()
    for importer, imported in _module_edges():
        sorter.add(importer, imported)
    assert "sknas._space.architecture" in sorter.static_order()


@pytest.mark.parametrize("room", ["_space", "_table", "_model"])
def test_these_rooms_need_no_torch(room):
    names = {
        name.split(".")[0]
        for path in FILES
        if _room(path) == room
        for name in _imported(path)
    }
    assert "torch" not in names
    assert "numpy" in names


def test_private_parts_of_scikit_learn_are_imported_in_one_place():
    importers = {
        _room(path)
        for path in FILES
        for name in _imported(path)
        if name.startswith("sklearn") and "._" in name
    }
    assert importers == {"_sklearn"}


def test_importing_the_estimator_loads_nothing_heavy(run_python):
    program = """
import sys
from sklearn.neural_network import MLPClassifier
before = {name.split(".")[0] for name in sys.modules}
from sknas import NASMLPClassifier
after = {name.split(".")[0] for name in sys.modules}
print((before, after))
"""
    before, after = ast.literal_eval(run_python(program))
    assert {"torch", "matplotlib", "tqdm"}.isdisjoint(after)
    # scikit-learn itself loads pandas where there is one.
    assert after - before == {"sknas"}


def test_predicting_from_a_pickle_does_not_load_torch(
    fast, binary_table, run_python, tmp_path
):
    X, y = binary_table
    path = tmp_path / "classifier.pickle"
    # With all that the next call of either kind goes on from.
    classifier = NASMLPClassifier(**fast, warm_start=True)
    classifier.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    path.write_bytes(pickle.dumps((classifier, X[:3])))
    program = f"""
import pickle, sys
with open({str(path)!r}, "rb") as file:
    classifier, X = pickle.load(file)
print(classifier.predict_proba(X).shape, "torch" in sys.modules)
"""
    assert run_python(program, CUDA_VISIBLE_DEVICES="") == "(3, 2) False\n"


def test_folders_hold_no_more_than_twelve_files():
    counts = Counter(path.parent for path in FILES)
    assert max(counts.values()) <= 12


@every_file
def test_files_are_not_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450


def _has_docstring(function):
    return ast.get_docstring(function) is not None


def _only_assigns(function):
    """Tell the constructors that scikit-learn asks for: ``self.x = x`` and no more."""
    return function.name == "__init__" and all(
        isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Name)
        and ast.unparse(statement.targets[0]) == f"self.{statement.value.id}"
        for statement in function.body
    )


@every_file
def test_functions_are_not_too_long(path):
    too_long = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        n_lines = node.end_lineno - node.lineno + 1
        if _has_docstring(node):
            docstring = node.body[0]
            n_lines -= docstring.end_lineno - docstring.lineno + 1
        if n_lines > 60 and not _only_assigns(node):
            too_long[node.name] = n_lines
    assert too_long == {}


def test_most_functions_are_short():
    lengths = [
        node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    # Docstrings included.
    assert statistics.median(lengths) <= 9
