"""The import graph, and how long files and functions may grow."""

import ast
import graphlib
import pickle
from pathlib import Path

import pytest

import sknas
from sknas import NASMLPClassifier

PACKAGE = Path(sknas.__file__).parent
# Edges go downwards only; none stay inside a level, where a package is one node.
LEVELS = [
    {
        "_typing",
        "_random",
        "_device",
        "_dropout",
        "_layers",
        "_recorded_step",
        "_sklearn",
        "_progress",
        "_paper",
    },
    {"_space", "_preprocessing", "_split", "_metric"},
    {
        "_controller",
        "_predictor",
        "_baselines",
        "_network",
        "_weight_store",
        "_history",
        "_prediction",
        "_validation",
        "_grouping",
    },
    {"_strategies", "_optimizer"},
    {"_training"},
    {"_trainer"},
    {"_evaluator"},
    {"_search"},
    {"_fitting"},
    {"_estimators", "_displays"},
    {"__init__"},
]
LEVEL_OF = {module: level for level, group in enumerate(LEVELS) for module in group}
# A strategy sees the space and the rewards only; a trainer never a strategy.
FORBIDDEN = {
    ("_strategies", "_trainer"),
    ("_strategies", "_history"),
    ("_strategies", "_weight_store"),
    ("_trainer", "_strategies"),
    ("_trainer", "_history"),
    ("_training", "_strategies"),
    ("_training", "_history"),
}
FILES = sorted(PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize(
    "path", FILES, ids=[str(path.relative_to(PACKAGE)) for path in FILES]
)


def _node(path):
    """Return the module of the graph that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path):
    """Return full names of all that a file imports, in functions too."""
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, "relative import"
            # `from sknas import _search` imports a module too.
            if statement.module == "sknas":
                yield from (f"sknas.{alias.name}" for alias in statement.names)
            else:
                yield statement.module


def _edges():
    edges = set()
    for path in FILES:
        for name in _imported(path):
            parts = name.split(".")
            if parts[0] == "sknas" and _node(path) != parts[1]:
                edges.add((_node(path), parts[1]))
    return edges


def test_every_module_has_a_level():
    assert {_node(path) for path in FILES} <= set(LEVEL_OF)


def test_the_graph_is_read_at_all():
    edges = _edges()
    assert {("_fitting", "_search"), ("_evaluator", "_trainer")} <= edges
    assert ("_strategies", "_controller") in edges
    assert len(edges) > 20


def test_imports_go_downwards():
    upwards = {
        (importer, imported)
        for importer, imported in _edges()
        if LEVEL_OF[importer] <= LEVEL_OF[imported]
    }
    assert upwards == set()


def test_no_module_sees_what_it_must_not():
    assert _edges() & FORBIDDEN == set()


def test_nobody_imports_the_estimators_but_the_package():
    assert {a for a, b in _edges() if b == "_estimators"} == {"__init__"}


def test_there_is_no_cycle():
    sorter = graphlib.TopologicalSorter()
    for importer, imported in _edges():
        sorter.add(importer, imported)
    assert "_space" in sorter.static_order()


@pytest.mark.parametrize("module", ["_space", "_history"])
def test_descriptions_and_records_need_neither_torch_nor_scikit_learn(module):
    names = {name.split(".")[0] for name in _imported(PACKAGE / f"{module}.py")}
    assert names.isdisjoint({"torch", "sklearn"})
    assert "numpy" in names


def test_private_parts_of_scikit_learn_are_imported_in_one_place():
    importers = {
        _node(path)
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
    path.write_bytes(pickle.dumps((NASMLPClassifier(**fast).fit(X, y), X[:3])))
    program = f"""
import pickle, sys
with open({str(path)!r}, "rb") as file:
    classifier, X = pickle.load(file)
print(classifier.predict_proba(X).shape, "torch" in sys.modules)
"""
    assert run_python(program, CUDA_VISIBLE_DEVICES="") == "(3, 2) False\n"


@every_file
def test_files_are_not_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 800


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
