#!/usr/bin/env bash
# The Slurm executor on a real Slurm of two nodes on this machine: its promises, and nodes, tasks and sweeps lost (root;
# Debian: what is missing of Slurm is installed).
#   tests/slurm.sh                          in a fresh environment with submitit
#   SLURM_VENV=... tests/slurm.sh           in an environment that is kept (made where it is missing)
#   KILLS=0 tests/slurm.sh                  without the random kills at the end
# PYTHON names the interpreter that makes the environment. Nothing outside this machine is asked but for packages.
set -euo pipefail
cd "$(dirname "$0")/.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
venv=${SLURM_VENV:-$place/venv}
export PATH=$PATH:/usr/sbin

if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends slurm-wlm munge
fi
if ! "$venv/bin/python" -c "import submitit" 2>/dev/null; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements-dev.lock -r requirements-engines.lock
fi
export PYTHONPATH=$PWD OMP_NUM_THREADS=1
"$venv/bin/python" -m pytest -n 0 -rs tests/executors/test_taker.py tests/executors/test_slurm_input.py \
    tests/executors/test_slurm.py
"$venv/bin/python" -m pytest -n 0 -rs tests/executors/test_promises.py -k slurm
kills=${KILLS:-3}
if [ "$kills" -gt 0 ]; then
    "$venv/bin/python" -m benchmarks.faults slurm --rounds 1 --runs 4 --kills "$kills"
fi
echo "slurm: promises kept, nothing lost"
