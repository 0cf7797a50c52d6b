#!/usr/bin/env bash
# Write every generated file again; the difference is what there is to review.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin}

for generated in generate_blocking generate_map draw_states generate_configuration generate_scenarios \
  generate_properties generate_metrics generate_requirements; do
  "$bin/python" "tools/$generated.py"
done
if compgen -G "tests/scenarios/*.txt" >/dev/null; then
  UNISONO_REWRITE=1 "$bin/pytest" -q -p no:randomly tests/sim/test_scenarios.py -k when_run
fi
git --no-pager diff --stat 2>/dev/null || true
