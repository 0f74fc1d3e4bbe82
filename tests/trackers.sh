#!/usr/bin/env bash
# The tests of trackers against their real back ends on this machine, in an environment that has them: by default
# .venv-trackers, made by the lock and kept for the next time. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
place=${TRACKERS_VENV:-.venv-trackers}
lock=requirements-trackers.lock
if ! cmp --silent "$lock" "$place/installed"; then
    "${PYTHON:-python3}" -m venv "$place"
    "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$lock"
    cp "$lock" "$place/installed"
fi
DIFFMEM_NEED_TRACKERS=1 PYTHONPATH=$PWD "$place/bin/python" -m pytest tests/trackers
