#!/usr/bin/env bash
# Documentation: warnings are errors, the Python lines in it are run, generated pages must be current.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}

"$bin/pytest" -q -p no:randomly -p no:cacheprovider tests/tidy -k generated
"$bin/sphinx-build" -q -W --keep-going -b html docs docs/_build/html
"$bin/sphinx-build" -q -W --keep-going -b doctest docs docs/_build/doctest
echo 'documentation: docs/_build/html/index.html'
