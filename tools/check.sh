#!/usr/bin/env bash
# The quick checks, all of them even when one fails; each failure names the command that repeats it.
set -u
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}
failed=()

run() { # $1: a name, the rest: the command
  local name=$1 output
  shift
  if output=$("$@" 2>&1); then
    printf 'ok      %s\n' "$name"
  else
    printf '%s\n' "$output"
    printf 'FAILED  %s: %s\n' "$name" "$*"
    failed+=("$name")
  fi
}

run format "$bin/ruff" format --check --quiet --diff .
run lint "$bin/ruff" check --quiet --output-format concise .
run types "$bin/mypy" --no-error-summary
run layers "$bin/lint-imports" --no-cache
run spelling "$bin/codespell" src tests tools examples bench docs changelog.d README.md \
  CONTRIBUTING.md CHANGELOG.md Makefile pyproject.toml
run tidy "$bin/pytest" -q -p no:randomly -p no:cacheprovider tests/tidy

if [ "${#failed[@]}" -gt 0 ]; then
  printf '%d of the checks failed: %s\n' "${#failed[@]}" "${failed[*]}"
  exit 1
fi
echo 'all checks passed'
