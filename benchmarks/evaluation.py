"""P4: a checkpoint's evaluation against the study's scripts, and its parts against what they were, on one core.

    python -m benchmarks.evaluation [--reference DIR] [--features 1024] [--repeats 5] [--json FILE]

Samples from a traced network (weights folded in anew, as for every checkpoint) against the network itself, which give
the same bits; a row with 256 draws behind a loss against 1,024; samples until f_mem is known to a width against all of
them; a Fréchet distance with its jackknife from one eigenproblem against one for each block. The note says what changes
in the numbers.

The whole is a row of `metrics.jsonl` (samples, f_mem with its interval and null, bias, Fréchet distance, losses)
beside the study's `generate.py` and `compute_fmem.py`: the same untrained network, its 99 calls of DDIM, 200 samples
through files, 256 training images, its 1,000 bootstraps. Its third script cannot be timed here.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import study
from benchmarks.turns import Found, Missing, Row, options, show, timed
from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.data import load, split
from diffmem.diffusion.sampler import initial_noise, sample
from diffmem.diffusion.traced import Traced
from diffmem.metrics import frechet
from diffmem.training import machine
from diffmem.training.evaluate import Evaluator
from diffmem.training.initial import initial_state

CPU = torch.device("cpu")
SAMPLES = 200
SAME = [  # the network that both have
    *("data=digits", "data.n=256", "model=unet_reference", "model.width=16", "model.multipliers=[1,2]"),
    *("model.attention=[]", "model.blocks=1", "model.dropout=0", "sampler=reference", f"eval.samples={SAMPLES}"),
    "device=cpu",
]
QUICK = ["experiment=quickstart", "data.n=256", "device=cpu"]


def sampling(count: int, repeats: int) -> Row:
    """The tiny U-Net of the quickstart, 20 calls, tiles of 200."""
    config = compose(QUICK)
    model, noise, traced = initial_state(config, CPU).model.eval(), initial_noise(count, config.data.shape), Traced()
    settings: dict[str, Any] = {"diffusion": config.diffusion, "sampler": config.sampler, "tile": config.eval.tile}

    def fast() -> torch.Tensor:
        return sample(traced.of(model, noise[: config.eval.tile]), noise, **settings)

    def slow() -> torch.Tensor:
        return sample(model, noise, **settings)

    same = torch.equal(fast(), slow())
    return timed(f"sampling, unet_tiny, {count} images: traced, not", fast, slow, repeats, f"same bits: {same}")


def row(case: str, column: str, ours: list[str], theirs: list[str], repeats: int) -> Row:
    """A whole row of an untrained network under either setting; `column` of both is said."""
    sides, found = [], []
    for words in (ours, theirs):
        config = compose([*QUICK, *words])
        dataset = load(config.data)
        evaluator = Evaluator(config, dataset, split(dataset, config.data), CPU)
        model = initial_state(config, CPU).model
        found.append(evaluator(model, 0).row[column])
        sides.append(lambda evaluator=evaluator, model=model: evaluator(model, 0))
    return timed(case, sides[0], sides[1], repeats, f"{column}: {found[0]:.4g}, {found[1]:.4g}")


def distance(features: int, repeats: int) -> Row:
    """2 D samples, the fewest, of features whose spectrum falls like that of a network's."""
    rng = np.random.default_rng(0)
    spread = np.arange(1, features + 1) ** -0.7
    reference = frechet.statistics(rng.normal(size=(2 * features, features)) * spread)
    samples = 0.02 + rng.normal(size=(2 * features, features)) * spread * 1.05
    many, found = frechet.MANY, {}

    def side(least: int) -> None:
        frechet.MANY = least
        value, interval = frechet.with_jackknife(samples, *reference)
        found[least] = np.array([value, *interval])
        frechet.MANY = many

    case = f"Frechet distance and jackknife, {features} features: one eigenproblem, 20"
    result = timed(case, lambda: side(1), lambda: side(2 * features), repeats)
    off = np.abs(found[1] / found[2 * features] - 1).max()
    return Row(**{**vars(result), "note": f"value, interval and bias differ by {off:.1e}"})


def whole(folder: Path | None, repeats: int) -> Iterator[Found]:
    case = f"a checkpoint, W = 16, 8x8, {SAMPLES} samples: a row, study's generate + fmem"
    if folder is None:
        yield study.without(case, "python -m benchmarks.evaluation")
    else:
        with tempfile.TemporaryDirectory() as place:
            config = compose(SAME)
            dataset = load(config.data)
            parts = split(dataset, config.data)
            evaluator, model = Evaluator(config, dataset, parts, CPU), initial_state(config, CPU).model
            theirs = their_scripts(folder, config, parts.train, Path(place))
            more = "ours has losses, bias and a Frechet distance too"
            yield timed(case, lambda: evaluator(model, 0), theirs, repeats, more)
    yield Missing(
        "the study's compute_FID",
        "it needs torchvision, a GPU, pytorch_fid and the weights of its Inception network",
        "In the study's Experiments/src/Evaluation, where these are: python compute_FID.py",
    )


def their_scripts(folder: Path, config: Config, train: torch.Tensor, place: Path) -> Callable[[], None]:
    """What generate.py and compute_fmem.py do for one checkpoint, in files below `place`."""
    diffusion, unet, fmem = study.modules(folder, "Diffusion", "Unet", "compute_fmem")
    fmem.tqdm = partial(fmem.tqdm, disable=True)
    settings = diffusion.TrainingConfig()
    settings.DEVICE, settings.TIMESTEPS, settings.IMG_SHAPE = "cpu", config.diffusion.T, config.data.shape
    settings.path_save = f"{place}/"
    process = diffusion.DiffusionConfig(n_steps=config.diffusion.T, img_shape=config.data.shape, device="cpu")
    model = unet.UNet(1, 1, 1, 16, (1, 2), (False, False), dropout_rate=0.0)
    samples = place / "Samples/0/generated"
    samples.mkdir(parents=True)

    def take() -> None:
        for batch in range(SAMPLES // 100):
            made, _ = diffusion.sample_diffusion_from_noise_DDIM(
                model, n_images=100, config=settings, df=process, dim=4, eta=0.0, ddim_steps=100
            )
            torch.save(made, samples / f"samples_a_{batch}")
        fmem.compute_fraction_mem([0], train, "", settings, str(place / "fraction.txt"), SAMPLES // 100, 100, 1 / 3)

    return take


def rows(folder: Path | None, repeats: int, features: int = 1024) -> Iterator[Found]:
    width = ["eval.samples=2000", "eval.quality_samples=200"]
    yield from whole(folder, min(repeats, 3))
    yield sampling(400, repeats)
    yield sampling(2000, repeats)
    yield row(
        "a row, loss_draws: 256, 1,024",
        "loss_test_t100_se",
        ["eval.loss_draws=256"],
        ["eval.loss_draws=1024"],
        repeats,
    )
    yield row(
        "a row, samples: to a width of 0.005, 2,000",
        "f_mem_total",
        [*width, "eval.f_mem_width=0.005"],
        width,
        repeats,
    )
    yield distance(features, min(repeats, 3))


def main() -> None:
    parser = options(__doc__, repeats=5)
    parser.add_argument("--features", type=int, default=1024)
    parser.add_argument("--reference", type=study.folder, help="checkout of the study's code")
    args = parser.parse_args()
    machine.set_threads(1)
    show(rows(args.reference, args.repeats, args.features), args.json)


if __name__ == "__main__":
    main()
