# diffmem in a container, for CPU and GPU. Any base with Debian's or Ubuntu's packages: a slim Python by default, a
# CUDA runtime image by the same argument. torch and its CUDA libraries come with the locked packages.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

# A base without Python gets the distribution's.
# hadolint ignore=DL3008
RUN if ! python3 -m venv --help >/dev/null 2>&1; then \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3 -m venv /venv \
    && useradd --create-home --uid 1000 diffmem \
    && install -d -o diffmem -g diffmem /diffmem /diffmem/runs /diffmem/data

ENV PATH=/venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DIFFMEM_CACHE=/diffmem/runs/.cache

# A folder of wheels to take packages from first, such as a CPU build of torch.
ARG PIP_FIND_LINKS=
COPY requirements.lock /tmp/diffmem/
RUN pip install -r /tmp/diffmem/requirements.lock

# Clients of clusters, by the names of their extras: ray, slurm, or both as ray,slurm.
ARG ENGINES=
COPY requirements-engines.lock /tmp/diffmem/
COPY pyproject.toml README.md LICENSE /tmp/diffmem/
COPY diffmem /tmp/diffmem/diffmem
COPY configs /tmp/diffmem/configs
COPY analysis /tmp/diffmem/analysis
RUN pip install --no-build-isolation -c /tmp/diffmem/requirements-engines.lock "/tmp/diffmem${ENGINES:+[$ENGINES]}" \
    && rm -rf /tmp/diffmem

USER 1000
WORKDIR /diffmem
VOLUME ["/diffmem/runs", "/diffmem/data"]
ENTRYPOINT ["diffmem"]
CMD ["--help"]
