"""P3: exact nearest two training images against four other ways to them: time and peak memory.

    python -m benchmarks.neighbours [--n 1024 8192 32768] [--samples 1000 10000] [--shape 1 32 32] [--mapped]
                                    [--others faiss] [--device cpu] [--repeats 3] [--threads 1] [--json FILE]

Images are uniform noise; a tenth of the samples are training images moved by 1e-4 a value. `broadcast` is the study's
`torch.norm(s[:, None] - X, dim=2)`, `cdist` torch's, both of `--batch` samples at once (100 in the study's code);
`sklearn` is scikit-learn's brute force, `faiss` its exact flat index (IndexFlatL2), from nothing to the answer.

Each search is a process of its own, and the ways take turns. Time is that of the process (with several threads, of all
of them); memory is the peak above the two sets of images (with `--mapped`, the training images lie in a file and count
too). Ours should be flat in n and in the number of samples. The broadcast runs on the first `--broadcast-samples` and
its time is scaled to all; it is left out where its largest tensor would not fit in `--max-gb`. `wrong` counts samples
whose nearest two are not those of the exact search.
"""

import argparse
import importlib.util
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.turns import Found, Missing, Row, options, show, where
from diffmem.metrics.search import ImageArray, nearest_two

OTHERS = ("broadcast", "cdist", "sklearn", "faiss")
PACKAGES = {"sklearn": "scikit-learn", "faiss": "faiss-cpu"}
Search = Callable[[Tensor, ImageArray], Tensor]  # samples and training images to the indices of the two nearest


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


def search(method: str, args: argparse.Namespace) -> Search:
    """A way to the two nearest, imported and ready."""

    def ours(samples: Tensor, train: ImageArray) -> Tensor:
        nearest = nearest_two(samples, train, device=args.device)
        return torch.stack([nearest.i1, nearest.i2], dim=1)

    def in_batches(distances: Callable[[Tensor, Tensor], Tensor]) -> Search:
        def found(samples: Tensor, train: ImageArray) -> Tensor:
            flat = torch.as_tensor(train).flatten(1).to(args.device)
            batches = samples.flatten(1).to(args.device).split(args.batch)
            return torch.cat([distances(part, flat).topk(2, largest=False).indices for part in batches]).cpu()

        return found

    if method == "ours":
        return ours
    if method == "broadcast":
        return in_batches(lambda part, flat: torch.norm(part[:, None] - flat, dim=2))
    if method == "cdist":
        return in_batches(torch.cdist)
    return by_sklearn() if method == "sklearn" else by_faiss(args.threads)


def rows_of(these: ImageArray) -> np.ndarray:
    return np.asarray(these).reshape(len(these), -1)


def by_sklearn() -> Search:
    from sklearn.neighbors import NearestNeighbors

    def found(samples: Tensor, train: ImageArray) -> Tensor:
        index = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(rows_of(train))
        return torch.from_numpy(index.kneighbors(rows_of(samples), return_distance=False))

    return found


def by_faiss(threads: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(threads)

    def found(samples: Tensor, train: ImageArray) -> Tensor:
        flat = rows_of(train)
        index = faiss.IndexFlatL2(flat.shape[1])
        index.add(flat)
        return torch.from_numpy(index.search(rows_of(samples), 2)[1])

    return found


def peak_mb() -> float:
    """Largest memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def seen(method: str, count: int, args: argparse.Namespace) -> int:
    """Samples that a way is timed on."""
    return min(args.broadcast_samples, count) if method == "broadcast" else count


def measure(method: str, n: int, count: int, args: argparse.Namespace) -> dict[str, Any]:
    """One search, in this process: {seconds, extra_mb, indices}."""
    torch.set_num_threads(args.threads)
    drawn, held = images(n, count, tuple(args.shape))
    samples = drawn[: seen(method, count, args)]
    way = search(method, args)
    way(samples[:2], held[:4])  # what is loaded at the first call does not count
    with tempfile.TemporaryDirectory() as folder:
        train = mapped(held, folder) if args.mapped else held
        before, begin = peak_mb(), time.process_time()
        indices = way(samples, train)
        seconds = time.process_time() - begin
        return {"seconds": seconds, "extra_mb": peak_mb() - before, "indices": indices.tolist()}


def in_its_own_process(method: str, n: int, count: int, args: argparse.Namespace) -> dict[str, Any]:
    words = json.dumps({**vars(args), "json": None})
    command = [sys.executable, "-m", "benchmarks.neighbours", "--case", method, str(n), str(count), words]
    threads = {"OMP_NUM_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
    case: dict[str, Any] = json.loads(done.stdout)
    return case


def left_out(method: str, n: int, count: int, args: argparse.Namespace) -> Missing | None:
    """Why a way is not tried."""
    title = f"nearest two of {n:,} for {count:,} samples: {method}"
    if method in PACKAGES and importlib.util.find_spec(method) is None:
        package = PACKAGES[method]
        return Missing(title, f"{package} is not installed", f"pip install {package}")
    largest = 4e-9 * min(args.batch, seen(method, count, args)) * n * math.prod(args.shape)
    if method == "broadcast" and largest > args.max_gb:
        return Missing(title, f"one of its tensors takes {largest:.1f} GB", f"--max-gb {math.ceil(largest)}")
    return None


def compare(n: int, count: int, args: argparse.Namespace) -> Iterator[Found]:
    """Ours against each of the others, for one number of images and of samples."""
    missing = {method: left_out(method, n, count, args) for method in args.others}
    yield from (reason for reason in missing.values() if reason)
    methods = ["ours", *(method for method, reason in missing.items() if reason is None)]
    turns = [{method: in_its_own_process(method, n, count, args) for method in methods} for _ in range(args.repeats)]
    scale = {method: count / seen(method, count, args) for method in methods}
    seconds = {name: scale[name] * statistics.median(turn[name]["seconds"] for turn in turns) for name in methods}
    memory = {name: statistics.median(turn[name]["extra_mb"] for turn in turns) for name in methods}
    exact = turns[0]["ours"]["indices"]
    for name in methods[1:]:
        tried = turns[0][name]["indices"]
        wrong = sum(a != b for a, b in zip(exact, tried, strict=False))
        note = f"peak {memory['ours']:.0f} and {memory[name]:.0f} MB; wrong: {wrong} of {len(tried)}"
        case = f"nearest two of {n:,} for {count:,} samples: ours, {name}"
        ratio = seconds[name] / seconds["ours"]
        measured = (seconds["ours"], seconds[name], ratio, args.repeats, where(), note)
        yield Row(case, *measured, ours_mb=memory["ours"], theirs_mb=memory[name])


def rows(args: argparse.Namespace) -> Iterator[Found]:
    for count in args.samples:
        for n in args.n:
            yield from compare(n, count, args)


def arguments() -> argparse.ArgumentParser:
    parser = options(__doc__, repeats=3)
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 8192, 32768])
    parser.add_argument("--samples", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--shape", type=int, nargs="+", default=[1, 32, 32])
    parser.add_argument("--others", nargs="+", choices=OTHERS, default=[*OTHERS])
    parser.add_argument("--batch", type=int, default=100, help="samples at once in the broadcast and cdist")
    parser.add_argument("--broadcast-samples", type=int, default=100, help="samples the broadcast is timed on")
    parser.add_argument("--max-gb", type=float, default=4.0, help="largest tensor of the broadcast that is tried")
    parser.add_argument("--mapped", action="store_true", help="read the training images from a memory-mapped file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", nargs=4, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    args = arguments().parse_args()
    if args.case:
        method, n, count, words = args.case
        print(json.dumps(measure(method, int(n), int(count), argparse.Namespace(**json.loads(words)))))
        return
    torch.set_num_threads(args.threads)
    show(rows(args), args.json)


if __name__ == "__main__":
    main()
