"""Exact nearest two training images, against the broadcast `torch.norm(s[:, None] - X, dim=2)`: time and memory.

    python benchmarks/neighbours.py [--n 1024 8192 32768] [--samples 1000 10000] [--shape 1 32 32] [--mapped]
                                    [--device cpu] [--json FILE]

Images are uniform noise; a tenth of the samples are training images moved by 1e-4 a value. Each case runs in a process
of its own. Time is the median over `--repeats`; memory is the peak above the two sets of images (with `--mapped`, the
training images lie in a file and count too). It should be flat in n and in the number of samples. The broadcast takes
`--batch` samples at once (100 in the study's code), runs on the first `--broadcast-samples`, and is left out where its
largest tensor would not fit in `--max-gb`; `wrong` counts its samples whose nearest two are not those of the exact
search, and the ratio is of the times a sample.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffmem.metrics.search import ImageArray, nearest_two


def images(n: int, samples: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Samples [M, ...] and training images [n, ...]."""
    g = torch.Generator().manual_seed(0)
    train, drawn = torch.rand(n, *shape, generator=g), torch.rand(samples, *shape, generator=g)
    copies = min(samples // 10, n)
    drawn[:copies] = train[:copies] + 1e-4 * torch.randn(copies, *shape, generator=g)
    return drawn, train


def mapped(train: Tensor, folder: str) -> np.ndarray:
    """The same images in a file, mapped read-only."""
    path = Path(folder) / "train.npy"
    np.save(path, train.numpy())
    images: np.ndarray = np.load(path, mmap_mode="r")
    return images


def exact(samples: Tensor, train: ImageArray, args: argparse.Namespace) -> Tensor:
    nearest = nearest_two(samples, train, device=args.device)
    return torch.stack([nearest.i1, nearest.i2], dim=1)


def broadcast(samples: Tensor, train: ImageArray, args: argparse.Namespace) -> Tensor:
    flat = torch.as_tensor(train).flatten(1).to(args.device)
    batches = samples.flatten(1).to(args.device).split(args.batch)
    parts = [torch.norm(part[:, None] - flat, dim=2) for part in batches]
    return torch.cat([part.topk(2, largest=False).indices for part in parts]).cpu()


def peak_mb() -> float:
    """Largest memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(method: str, n: int, count: int, args: argparse.Namespace) -> dict[str, Any]:
    """One case, in this process: {seconds, extra_mb, indices}; the broadcast sees the first samples only."""
    drawn, held = images(n, count, tuple(args.shape))
    samples = drawn[: args.broadcast_samples] if method == "broadcast" else drawn
    with tempfile.TemporaryDirectory() as folder:
        train = mapped(held, folder) if args.mapped else held
        before = peak_mb()
        seconds = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            indices = {"exact": exact, "broadcast": broadcast}[method](samples, train, args)
            seconds.append(time.perf_counter() - start)
        return {"seconds": statistics.median(seconds), "extra_mb": peak_mb() - before, "indices": indices.tolist()}


def in_its_own_process(method: str, n: int, count: int) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--case", method, str(n), str(count)]
    case: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return case


def compare(n: int, count: int, args: argparse.Namespace) -> dict[str, Any]:
    """One line of the table."""
    fast = in_its_own_process("exact", n, count)
    row = {"n": n, "samples": count, "exact_seconds": fast["seconds"], "exact_extra_mb": fast["extra_mb"]}
    row["exact_ms_a_sample"] = 1000 * fast["seconds"] / count
    tried = min(args.broadcast_samples, count)
    row["broadcast_tensor_gb"] = 4e-9 * min(args.batch, tried) * n * math.prod(args.shape)
    if row["broadcast_tensor_gb"] <= args.max_gb:
        slow = in_its_own_process("broadcast", n, count)
        row |= {"broadcast_ms_a_sample": 1000 * slow["seconds"] / tried, "broadcast_extra_mb": slow["extra_mb"]}
        row["ratio"] = row["broadcast_ms_a_sample"] / row["exact_ms_a_sample"]
        row["wrong"] = sum(a != b for a, b in zip(fast["indices"][:tried], slow["indices"], strict=True))
    return row


def line(row: dict[str, Any]) -> str:
    ours = f"{row['n']:>7}{row['samples']:>9}{row['exact_seconds']:>10.3f}{row['exact_ms_a_sample']:>11.3f}"
    ours += f"{row['exact_extra_mb']:>10.0f}"
    if "ratio" not in row:
        return f"{ours}   not tried: one tensor of {row['broadcast_tensor_gb']:.1f} GB"
    theirs = f"{row['broadcast_ms_a_sample']:>20.2f}{row['broadcast_extra_mb']:>10.0f}"
    return f"{ours}{theirs}{row['ratio']:>8.1f}{row['wrong']:>7}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 8192, 32768])
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--shape", type=int, nargs="+", default=[1, 32, 32])
    parser.add_argument("--batch", type=int, default=100, help="samples at once in the broadcast")
    parser.add_argument("--broadcast-samples", type=int, default=100, help="samples the broadcast is timed on")
    parser.add_argument("--max-gb", type=float, default=4.0, help="largest tensor of the broadcast that is tried")
    parser.add_argument("--mapped", action="store_true", help="read the training images from a memory-mapped file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table here")
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args.case[0], int(args.case[1]), int(args.case[2]), args)))
        return
    print(f"samples of {args.shape}, {torch.get_num_threads()} threads, {args.device}{', mapped' * args.mapped}")
    heads = f"{'n':>7}{'samples':>9}{'exact s':>10}{'ms/sample':>11}{'extra MB':>10}"
    print(f"{heads}{'broadcast ms/sample':>20}{'extra MB':>10}{'ratio':>8}{'wrong':>7}")
    table = []
    for count in args.samples:
        for n in args.n:
            table.append(compare(n, count, args))
            print(line(table[-1]), flush=True)
    if args.json:
        settings = {name: value for name, value in vars(args).items() if name not in ("json", "case")}
        settings |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
        args.json.write_text(json.dumps({"settings": settings, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
