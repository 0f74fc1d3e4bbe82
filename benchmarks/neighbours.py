"""Exact nearest two training images, against the broadcast `torch.norm(s[:, None] - X, dim=2)`: time and memory.

    python benchmarks/neighbours.py [--n 1024 4096 32768] [--samples 1000] [--shape 1 32 32] [--json FILE]

Images are uniform noise; a tenth of the samples are training images moved by 1e-4 a value. Each case runs in a process
of its own. Time is the median over `--repeats`; memory is the peak above the two sets of images. The broadcast takes
`--batch` samples at once (100 in the study's code) and is left out where its largest tensor would not fit in
`--max-gb`; `wrong` counts its samples whose nearest two are not those of the exact search.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffmem.metrics.neighbours import nearest_two


def images(n: int, samples: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Samples [M, ...] and training images [n, ...]."""
    g = torch.Generator().manual_seed(0)
    train, drawn = torch.rand(n, *shape, generator=g), torch.rand(samples, *shape, generator=g)
    copies = min(samples // 10, n)
    drawn[:copies] = train[:copies] + 1e-4 * torch.randn(copies, *shape, generator=g)
    return drawn, train


def exact(samples: Tensor, train: Tensor, batch: int) -> Tensor:
    found = nearest_two(samples, train)
    return torch.stack([found.i1, found.i2], dim=1)


def broadcast(samples: Tensor, train: Tensor, batch: int) -> Tensor:
    flat = train.flatten(1)
    parts = [torch.norm(part[:, None] - flat, dim=2) for part in samples.flatten(1).split(batch)]
    return torch.cat([part.topk(2, largest=False).indices for part in parts])


def peak_mb() -> float:
    """Largest memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(method: str, n: int, args: argparse.Namespace) -> dict[str, Any]:
    """One case, in this process: {seconds, extra_mb, indices}."""
    samples, train = images(n, args.samples, tuple(args.shape))
    before = peak_mb()
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        found = {"exact": exact, "broadcast": broadcast}[method](samples, train, args.batch)
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "extra_mb": peak_mb() - before, "indices": found.tolist()}


def in_its_own_process(method: str, n: int) -> dict[str, Any]:
    command = [sys.executable, __file__, *sys.argv[1:], "--case", method, str(n)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 2048, 4096, 8192, 16384, 32768])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--shape", type=int, nargs="+", default=[1, 32, 32])
    parser.add_argument("--batch", type=int, default=100, help="samples at once in the broadcast")
    parser.add_argument("--max-gb", type=float, default=4.0, help="largest tensor of the broadcast that is tried")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table here")
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(args.case[0], int(args.case[1]), args)))
        return
    print(f"{args.samples} samples of {args.shape}, {torch.get_num_threads()} threads")
    print(f"{'n':>7}{'exact s':>10}{'extra MB':>10}{'broadcast s':>13}{'extra MB':>10}{'ratio':>8}{'wrong':>7}")
    table = []
    for n in args.n:
        fast = in_its_own_process("exact", n)
        row = {"n": n, "exact_seconds": fast["seconds"], "exact_extra_mb": fast["extra_mb"]}
        line = f"{n:>7}{fast['seconds']:>10.3f}{fast['extra_mb']:>10.0f}"
        row["broadcast_tensor_gb"] = 4e-9 * min(args.batch, args.samples) * n * math.prod(args.shape)
        if row["broadcast_tensor_gb"] > args.max_gb:
            line += f"   not tried: one tensor of {row['broadcast_tensor_gb']:.1f} GB"
        else:
            slow = in_its_own_process("broadcast", n)
            ratio = slow["seconds"] / fast["seconds"]
            wrong = sum(a != b for a, b in zip(fast["indices"], slow["indices"], strict=True))
            row |= {"broadcast_seconds": slow["seconds"], "broadcast_extra_mb": slow["extra_mb"]}
            row |= {"ratio": ratio, "wrong": wrong}
            line += f"{slow['seconds']:>13.3f}{slow['extra_mb']:>10.0f}{ratio:>8.1f}{wrong:>7}"
        print(line, flush=True)
        table.append(row)
    if args.json:
        settings = {"samples": args.samples, "shape": args.shape, "batch": args.batch, "repeats": args.repeats}
        settings |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
        args.json.write_text(json.dumps({"settings": settings, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
