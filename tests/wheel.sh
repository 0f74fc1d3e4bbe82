#!/usr/bin/env bash
# Build the wheel, install it by the lock into a clean environment outside the checkout, run the quickstart's first
# steps there. PYTHON names the interpreter that has `build`.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$python" -m build --quiet --wheel --no-isolation --outdir "$place/dist" .
"$python" -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.lock
"$place/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$place"/dist/diffmem-*.whl

mkdir "$place/empty"
cd "$place/empty"
diffmem=$place/venv/bin/diffmem
"$diffmem" --version
"$diffmem" sweep experiment=quickstart data.n=16,24 train.steps=60
test -s runs/quickstart/report.html
test -s runs/quickstart/laws.json
again=$("$diffmem" sweep experiment=quickstart data.n=16,24 train.steps=60)
grep -q "Nothing to do" <<<"$again"
left=$(ls -A)
test "$left" = runs || { echo "left behind: $left" >&2; exit 1; }
if "$place/venv/bin/python" -c "import analysis" 2>/dev/null; then
    echo "the wheel put a top-level package named analysis into site-packages" >&2
    exit 1
fi
echo "wheel: built, installed, run"
