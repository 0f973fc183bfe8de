"""Configuration of the documentation build."""

import re
import sys

import sknas

# A progress bar fills a page with its states. Without tqdm, one line per round.
sys.modules["tqdm"] = None

project = "sknas"
author = "The sknas developers"
copyright = author
version = release = sknas.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
# No intersphinx: a build needs no network, and -W would fail without one.

templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
# As in the docstrings of scikit-learn: `name` is code.
default_role = "literal"
add_module_names = False

autodoc_typehints = "none"
autodoc_preserve_defaults = True
autosummary_generate = True
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sknas",),
    "reference_url": {"sknas": None},
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1,
}

html_theme = "pydata_sphinx_theme"
html_title = "sknas"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"install": [], "whats_new": [], "references": [], "paper_tables": []}


def adapt_docstring(*arguments):
    """Rewrite what reads well in a docstring but does not build here."""
    _, _, _, obj, _, lines = arguments
    text = "\n".join(lines)
    # A bare name that ends in an underscore is a link in reStructuredText.
    text = re.sub(r"\((\w+_),", r"(`\1`,", text)
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        # Inherited: its links lead into scikit-learn's own documentation.
        text = re.sub(r":(?:ref|term):`([^<`]+?)(?:\s*<[^>]+>)?`", r"\1", text)
    lines[:] = text.split("\n")


def setup(app):
    # Before numpydoc, which connects with the default priority of 500.
    app.connect("autodoc-process-docstring", adapt_docstring, priority=400)
