"""The analysis: a law with 2,000 bootstraps against one optimizer call each, and 12 runs x 30 checkpoints to a report.

    python benchmarks/fit_and_report.py [--bootstraps 2000] [--runs 12] [--checkpoints 30] [--repeats 3] [--json FILE]

The law is that of 24 runs, half of them censored; `scipy` maximizes the same likelihood by scipy.optimize.minimize for
each resample (`--alternative` of them, and its time is scaled up). The runs of the report are planted: f_mem logistic
in log step, 200 samples of 8x8 pixels a checkpoint, written as a sweep writes them. Medians over `--repeats`.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.optimize import minimize
from scipy.special import log_ndtr

from diffmem.analysis import pipeline
from diffmem.analysis.laws.scaling import fit_power_law
from diffmem.config.compose import compose
from diffmem.pictures import Pictures
from diffmem.stats.intervals import wilson
from diffmem.store import RunDir


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Median wall-clock time."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def planted_times() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n, tau (the last step where censored) and whether reached, of 24 runs."""
    n = np.repeat([16, 32, 64, 128, 256, 512], 4)
    tau = 20 * n * np.exp(0.3 * np.random.default_rng(0).standard_normal(len(n)))
    last = float(np.median(tau))
    return n, np.minimum(tau, last), tau < last


def one_by_one(n: np.ndarray, tau: np.ndarray, reached: np.ndarray, bootstraps: int) -> np.ndarray:
    """The exponent of each resample of the runs, by a general optimizer."""
    x, y, rng = np.log(n), np.log(tau), np.random.default_rng(0)

    def minus_log_likelihood(p: np.ndarray, pick: np.ndarray) -> float:
        z = (y[pick] - p[0] - p[1] * x[pick]) * np.exp(-p[2])
        known = reached[pick]
        return float((0.5 * z[known] ** 2 + p[2]).sum() - log_ndtr(-z[~known]).sum())

    start = np.array([y.mean() - x.mean(), 1.0, -1.0])
    picks = rng.integers(len(n), size=(bootstraps, len(n)))
    return np.array([minimize(minus_log_likelihood, start, args=(pick,)).x[1] for pick in picks])


def write_family(folder: Path, runs: int, checkpoints: int) -> None:
    rng = np.random.default_rng(0)
    for place in range(runs):
        n = 16 * 2 ** (place % 6)
        config = compose(["experiment=quickstart", f"data.n={n}", f"seed={place // 6}", f"data.index={place // 6}"])
        run = RunDir(folder / config.run_id("planted"))
        run.write_config(config.to_mapping())
        run.write_status({"status": "complete"})
        rows = []
        for step in np.unique(np.round(np.geomspace(50, 20_000, checkpoints)).astype(int)):
            share = 1 / (1 + 19 * (30 * n / step) ** 3)
            memorized = rng.random(200) < share
            d1 = np.where(memorized, 0.2, 0.8)
            arrays = {
                "d1": d1,
                "d2": np.ones(200),
                "i1": rng.integers(n, size=200),
                "i2": rng.integers(n, size=200),
                "images": rng.normal(size=(200, 1, 8, 8)).astype(np.float32),
            }
            path = run.primary.samples_path(int(step))
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(arrays, path)
            low, high = wilson(int(memorized.sum()), 200)
            quality = 1 + 50 / step
            rows.append(
                {
                    "step": int(step),
                    "f_mem": float(memorized.mean()),
                    "f_mem_count": int(memorized.sum()),
                    "f_mem_total": 200,
                    "f_mem_low": low,
                    "f_mem_high": high,
                    "f_mem_null": 0.0,
                    "fd_pixels": quality,
                    "fd_pixels_low": 0.95 * quality,
                    "fd_pixels_high": 1.05 * quality,
                }
            )
        run.primary.write_rows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstraps", type=int, default=2000)
    parser.add_argument("--alternative", type=int, default=50)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--checkpoints", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    n, tau, reached = planted_times()
    status = ["reached" if one else "right" for one in reached]
    ours = seconds(lambda: fit_power_law(tau, n=n, status=status, n_boot=args.bootstraps), args.repeats)
    scipy = seconds(lambda: one_by_one(n, tau, reached, args.alternative), 1) * args.bootstraps / args.alternative
    print(
        f"a law with {args.bootstraps} bootstraps: {ours:.2f} s; scipy, one by one: {scipy:.1f} s ({scipy / ours:.0f}x)"
    )
    with tempfile.TemporaryDirectory() as folder:
        write_family(Path(folder), args.runs, args.checkpoints)
        fit = seconds(lambda: pipeline.write_tables(pipeline.fit(folder)), args.repeats)
        whole = seconds(lambda: pipeline.report(pipeline.fit(folder), Pictures()), args.repeats)
        size = (Path(folder) / "report.html").stat().st_size / 2**20
    print(f"{args.runs} runs x {args.checkpoints} checkpoints: fit {fit:.1f} s; fit, figures and report {whole:.1f} s")
    print(f"report.html: {size:.1f} MB")
    if args.json:
        record = {
            "law_seconds": ours,
            "scipy_seconds": scipy,
            "fit_seconds": fit,
            "report_seconds": whole,
            "page_mb": size,
        }
        args.json.write_text(json.dumps(record | {"settings": {**vars(args), "json": str(args.json)}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
