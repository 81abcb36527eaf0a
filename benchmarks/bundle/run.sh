#!/usr/bin/env bash
# Runs a command of the suite with the Python and JAX that this machine has (PYTHON, or python3) and
# environments under the carried Python 3.11. `run train --method bsrp_lag ...` is
# `safedreamer train ...`; `run -m benchmarks.perf.accelerator` runs a module.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
unpacked=${SAFEDREAMER_BUNDLE_DIR:-$here/unpacked}
if [ ! -e "$unpacked/complete" ]; then
    mkdir -p "$unpacked"
    "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="tar")' "$here/bundle.tar.xz" "$unpacked"
    touch "$unpacked/complete"
fi
suite=${SAFEDREAMER_SUITE:-$unpacked/suite}
export PYTHONPATH="$suite${PYTHONPATH:+:$PYTHONPATH}:$unpacked/learner"
export SAFEDREAMER_ENV_PYTHON=${SAFEDREAMER_ENV_PYTHON:-$unpacked/python3.11}
if [ $# -gt 0 ] && { [ "$1" = -m ] || [ "$1" = -c ]; }; then exec "$python" "$@"; fi
exec "$python" -m benchmarks.cli "$@"
