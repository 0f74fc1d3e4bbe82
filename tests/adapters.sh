#!/usr/bin/env bash
# The tests of low-rank adapters, in the tests' own environment with peft added: what peft brings makes every import of
# diffusers slower, so the other tests go without. By default in .venv-adapters, kept for the next time.
set -euo pipefail
cd "$(dirname "$0")/.."
place=${ADAPTERS_VENV:-.venv-adapters}
lock=requirements-adapters.lock
if ! cmp --silent "$lock" "$place/installed"; then
    .venv/bin/python -m venv "$place"
    .venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
        >"$("$place/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")/base.pth"
    "$place/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$lock"
    cp "$lock" "$place/installed"
fi
DIFFMEM_NEED_PEFT=1 PYTHONPATH=$PWD "$place/bin/python" -m pytest tests/training/test_lora.py
