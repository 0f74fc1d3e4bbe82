#!/usr/bin/env bash
# Build, lint and run the container image: the quickstart's first steps in a container without a network.
#   tests/container.sh                      with Docker, or with Podman and Buildah
#   BASE_IMAGE=... tests/container.sh       on another base image
# Where no engine runs and no hub is reached (root on Debian), it makes its own base image with debootstrap first.
set -euo pipefail
cd "$(dirname "$0")/.."
image=localhost/diffmem
base=${BASE_IMAGE:-}
runs=$(mktemp -d)
trap 'rm -rf "$runs"' EXIT
chmod 777 "$runs"

hadolint Dockerfile

# The wheels that this machine's pip is told to look at first are offered to the build as well.
links=$(pip config get global.find-links 2>/dev/null || pip config get :env:.find-links 2>/dev/null || true)

if docker info >/dev/null 2>&1; then
    docker build ${base:+--build-arg BASE_IMAGE="$base"} -t "$image" .
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
        --build-arg BASE_IMAGE="$base" -t "$image" .
    run=(podman --runtime runc --cgroup-manager cgroupfs run --rm --network none
        --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 -v "$runs:/diffmem/runs")
fi

"${run[@]}" "$image" --version
"${run[@]}" "$image" sweep experiment=quickstart data.n=16,32 train.steps=60
test -s "$runs/quickstart/report.html"
test -s "$runs/quickstart/laws.json"
again=$("${run[@]}" "$image" sweep experiment=quickstart data.n=16,32 train.steps=60)
grep -q "Nothing to do" <<<"$again"
echo "container: built, linted, run"
