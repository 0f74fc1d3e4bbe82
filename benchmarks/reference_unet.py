"""`unet_reference` against the study's own U-Net: the same weights, the same output, and how long each takes.

    python benchmarks/reference_unet.py --reference DIR [--json FILE] [--write-golden FILE]

DIR is a checkout of the study's code (github.com/tbonnair/Why-Diffusion-Models-Don-t-Memorize). For each shape of the
network the script copies the study's weights through `load_reference_state_dict` and prints the largest difference of
the outputs and of the parameters' gradients (in train mode without dropout), and the median time of one pass.
`--write-golden` writes the output of the study's code on weights and images given by a formula, for the tests.
"""

import argparse
import importlib.util
import json
import math
import statistics
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffmem.models.unet_reference import SINUSOIDS, UNetReference, load_reference_state_dict, study_names

SOURCE = "Experiments/src/Utils/Unet.py"

# width, multipliers, residual blocks, levels with attention, channels, pixels a side
CASES = (
    (8, (1, 2), 1, (), 1, 8),
    (16, (1, 2, 4), 2, (2, 3), 3, 16),
    (24, (2, 1, 3), 3, (1, 3), 1, 16),
    (32, (1, 2, 4), 2, (2, 3), 1, 32),
    (64, (1, 2, 4), 2, (2, 3), 1, 32),
)
GOLDEN = (8, (1, 2, 4), 1, (2, 3), 1, 8)
GOLDEN_T = (3, 700)


def formula(name: str, shape: Iterable[int]) -> Tensor:
    """Numbers that any code can make again: sin(phase + 0.7 j), j the place, the phase from the CRC-32 of the name.

    Matrices and kernels are scaled by fan_in^-1/2; the scales of normalizations lie around 1.
    """
    shape = tuple(shape)
    wave = np.sin(zlib.crc32(name.encode()) % 1000 + 0.7 * np.arange(math.prod(shape))).reshape(shape)
    if len(shape) > 1:
        wave /= math.sqrt(math.prod(shape[1:]))
    elif "norm" in name and name.endswith("weight"):
        wave = 1 + 0.1 * wave
    return torch.from_numpy(wave).float()


def images(case: tuple[Any, ...], count: int) -> Tensor:
    *_, channels, size = case
    return (
        torch.sin(torch.arange(count * channels * size**2, dtype=torch.float64))
        .reshape(-1, channels, size, size)
        .float()
    )


def study_unet(folder: Path, case: tuple[Any, ...]) -> nn.Module:
    """The study's U-Net of one case, without dropout."""
    width, multipliers, blocks, attention, channels, _ = case
    spec = importlib.util.spec_from_file_location("study_unet", folder / SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    levels = tuple(level in attention for level in range(1, len(multipliers) + 1))
    network: nn.Module = module.UNet(channels, channels, blocks, width, multipliers, levels, dropout_rate=0.0)
    return network


def gradients(model: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    """Forward and backward of the mean squared output; the output."""
    model.zero_grad()
    out: Tensor = model(x, t)
    out.square().mean().backward()
    return out.detach()


def compare(folder: Path, case: tuple[Any, ...], batch: int, repeats: int) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    study = study_unet(folder, case)
    ours = load_reference_state_dict(study.state_dict())
    assert isinstance(ours, UNetReference)
    for layer in ours.modules():
        if isinstance(layer, nn.Dropout2d):
            layer.p = 0.0
    ours.train()
    x, t = images(case, batch), torch.linspace(0, 999, batch).long()
    with torch.no_grad():
        evaluated = max_difference(study.eval()(x, t), ours.eval()(x, t))
    study.train()
    ours.train()
    trained = max_difference(gradients(study, x, t), gradients(ours, x, t))
    theirs = dict(study.named_parameters())
    names = study_names(ours)
    pairs = [(theirs[names[name]].grad, parameter.grad) for name, parameter in ours.named_parameters()]
    gradient = max(max_difference(a, b) for a, b in pairs if a is not None and b is not None)
    row = {
        "case": case,
        "parameters": sum(parameter.numel() for parameter in ours.parameters()),
        "output_difference": max(evaluated, trained),
        "gradient_difference": gradient,
    }
    for name, run in (("forward", nn.Module.__call__), ("both", gradients)):
        row |= milliseconds(name, run, {"study": study, "ours": ours}, (x, t), repeats)
    return row


def max_difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def milliseconds(
    name: str,
    run: Callable[..., Any],
    models: dict[str, nn.Module],
    inputs: tuple[Tensor, Tensor],
    repeats: int,
) -> dict[str, float]:
    """Median time of each model, measured in turns so that both meet the same machine."""
    taken: dict[str, list[float]] = {key: [] for key in models}
    for repeat in range(repeats + 2):  # the first two warm up
        for key, model in models.items():
            start = time.perf_counter()
            run(model, *inputs)
            if repeat >= 2:
                taken[key].append(1000 * (time.perf_counter() - start))
    medians = {key: statistics.median(values) for key, values in taken.items()}
    ratio = {f"{name}_ratio": medians["ours"] / medians["study"]}
    return {f"{name}_ms_{key}": value for key, value in medians.items()} | ratio


def write_golden(folder: Path, path: Path) -> None:
    """The study's output on formula weights, with the names and shapes of its parameters."""
    study = study_unet(folder, GOLDEN).eval()
    shapes = {name: list(tensor.shape) for name, tensor in study.state_dict().items()}
    study.load_state_dict(
        {name: formula(name, shape) for name, shape in shapes.items() if name != SINUSOIDS}
        | {SINUSOIDS: study.state_dict()[SINUSOIDS]}
    )
    with torch.no_grad():
        out = study(images(GOLDEN, len(GOLDEN_T)), torch.tensor(GOLDEN_T))
    golden = {
        "made_by": "benchmarks/reference_unet.py --write-golden: the study's own code on the weights and images of "
        "`formula` and `images` in that script (its sinusoid table as the study's code makes it), eval mode, float32",
        "case": GOLDEN,
        "t": GOLDEN_T,
        "shapes": shapes,
        "output": [round(value, 7) for value in out.flatten().tolist()],
    }
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="unet_reference against the study's own U-Net")
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the study's code")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the table here")
    parser.add_argument("--write-golden", type=Path, help="write the golden output of the tests here, and stop")
    options = parser.parse_args()
    if not (options.reference / SOURCE).is_file():
        parser.error(f"--reference {options.reference} holds no {SOURCE}: name a checkout of the study's code")
    if options.write_golden:
        write_golden(options.reference, options.write_golden)
        return
    rows = [compare(options.reference, case, options.batch, options.repeats) for case in CASES]
    print(f"batch {options.batch}, {torch.get_num_threads()} threads, median of {options.repeats}; ms study / ours")
    print(
        f"{'W':>3} {'parameters':>10} {'max |out|':>10} {'max |grad|':>10} {'forward':>24} {'forward + backward':>24}"
    )
    for row in rows:
        times = [
            f"{row[f'{name}_ms_study']:8.2f} / {row[f'{name}_ms_ours']:7.2f} ({row[f'{name}_ratio']:.2f})"
            for name in ("forward", "both")
        ]
        print(
            f"{row['case'][0]:>3} {row['parameters']:>10} {row['output_difference']:>10.1e} "
            f"{row['gradient_difference']:>10.1e} {times[0]:>24} {times[1]:>24}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
