#!/usr/bin/env bash
# The Ray executor on a real cluster of two nodes on this machine: its promises, and workers, nodes and drivers lost.
#   tests/ray.sh                            in a fresh environment with Ray
#   RAY_VENV=... tests/ray.sh               in an environment that is kept (made where it is missing)
#   KILLS=0 tests/ray.sh                    without the random kills at the end
# PYTHON names the interpreter that makes the environment. Nothing outside this machine is asked but for packages.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
venv=${RAY_VENV:-$place/venv}

if [ ! -x "$venv/bin/ray" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements-dev.lock -r requirements-engines.lock
fi
export PYTHONPATH=$PWD OMP_NUM_THREADS=1
"$venv/bin/python" -m pytest -rs tests/executors/test_ray.py tests/executors/test_probe.py
"$venv/bin/python" -m pytest -rs tests/executors/test_promises.py -k ray
kills=${KILLS:-3}
if [ "$kills" -gt 0 ]; then
    "$venv/bin/python" -m benchmarks.faults ray --rounds 1 --runs 4 --kills "$kills"
fi
echo "ray: promises kept, nothing lost"
