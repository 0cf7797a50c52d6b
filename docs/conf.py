"""Sphinx configuration; `make docs` treats every warning as an error and runs the examples."""

from importlib.metadata import version as installed

project = "Unisono"
author = "The Unisono authors"
copyright = "2026, The Unisono authors"
release = version = installed("unisono")

extensions = ["myst_parser", "sphinx.ext.doctest"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = "Unisono"
html_static_path = ["_static"]
