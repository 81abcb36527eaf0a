#!/usr/bin/env bash
# The learner's side on the newest Python, JAX, Flax and Optax (`make test-newest`): an environment
# of its own from requirements/newest.txt, without Gymnasium or MuJoCo. It runs the tests of numerics
# that take under a second each, and a training and an evaluation with a picture whose environments
# run under the Python of `make setup`.
#
# NEWEST_PYTHON names the interpreter (else the newest of 3.12 or later that is found), NEWEST_VENV
# the folder, ENV_PYTHON the interpreter of environments; arguments are pytest's. Where there is no
# interpreter it says so and tests nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${NEWEST_VENV:-.venv-newest}
envs=${ENV_PYTHON:-.venv/bin/python}
pins=requirements/newest.txt

fits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }
find_python() {
    local minor candidate
    for minor in 14 13 12; do
        for candidate in "python3.$minor" "$HOME"/.pyenv/versions/3.$minor.*/bin/python; do
            if fits "$candidate"; then
                echo "$candidate"
                return
            fi
        done
    done
}

python=${NEWEST_PYTHON:-$(find_python)}
if [ -z "$python" ] || ! fits "$python"; then
    echo "test-newest: skipped: no Python 3.12 or newer with venv" \
        "(${python:-none on the path or in ~/.pyenv/versions}; NEWEST_PYTHON names one)"
    exit 0
fi
if ! cmp -s "$pins" "$venv/installed.txt"; then
    echo "test-newest: creating $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps -r "$pins"
    cp "$pins" "$venv/installed.txt"
fi
if "$venv/bin/python" -c 'import gymnasium' 2>/dev/null; then
    echo "test-newest: $venv has Gymnasium, which is what it must be without" >&2
    exit 1
fi

export PYTHONPATH=$PWD MUJOCO_GL=${MUJOCO_GL:-osmesa}
numerics=()
for name in distributions gaussian lagrangian optimizers replay returns; do
    numerics+=("tests/agents/test_$name.py")
done
# without CI, property tests try few examples
env -u CI "$venv/bin/python" -m pytest -q -m "not slow" "${numerics[@]}" "$@"

theirs=$(SAFEDREAMER_ENV_PYTHON=$envs "$venv/bin/python" -m tests.env_rows)
ours=$(env -u SAFEDREAMER_ENV_PYTHON "$envs" -m tests.env_rows)
[ "$theirs" = "$ours" ] || {
    echo "test-newest: environments send other rows ($theirs) than with one interpreter ($ours)" >&2
    exit 1
}

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export SAFEDREAMER_ENV_PYTHON=$envs
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.cache/jax}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 JAX_DISABLE_MOST_OPTIMIZATIONS=1
safedreamer=("$venv/bin/python" -m benchmarks.cli)
"${safedreamer[@]}" train --method bsrp_lag --task SafetyPointGoal1-v0 --obs coordinates \
    --preset debug --steps 400 --out "$out/run"
"${safedreamer[@]}" evaluate "$out/run" --episodes 1 --stills 1
echo "test-newest: passed under $("$venv/bin/python" --version), environments under" \
    "$("$envs" --version)"
