"""`diffmem compare`: which checkpoints memorize more, what they copy, and how surely."""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from diffmem.cli.numbers import number, whole
from diffmem.definitions import K
from diffmem.errors import InputError

SUMMARY = "say which checkpoints memorize more, what they copy, and how surely"

EPILOG = """\
A target is PATH or PATH@WHICH, where PATH is
  a run directory                  WHICH: a step, last (the default), best or all
  a folder of the reference code   Models/Model_<step>, with --train TENSOR; WHICH: a step, last or all
  a folder of diffusers            an unconditional pipeline or a UNet2DModel, with --train IMAGES
  samples                          a folder of images or a tensor (.pt, .npy, .safetensors), with --train IMAGES
or one of the exact bookends of the first run named before it:
  empirical                        the exact denoiser of its training images
  population                       the exact score of its data, where these are a Gaussian mixture
@best is the lowest distance of quality (the one that the report shows) among the checkpoints before the first whose
memorized share is surely above that of held-out images (its 95% interval lies above that of the null)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("targets", nargs="+", metavar="TARGET", help="PATH, PATH@WHICH, empirical or population")
    parser.add_argument(
        "--samples", type=whole(1, 10**8), default=1000, metavar="N", help="samples of each target (default: 1000)"
    )
    parser.add_argument(
        "--k",
        type=_threshold,
        default=K,
        help="a sample is memorized when d1/d2 < k (default: 1/3); null:RATE is the k at which held-out images pass at "
        "that rate, in pixels and in features",
    )
    parser.add_argument(
        "--features",
        metavar="SPACE",
        help="the space of f_mem_features, such as efficientnet_lite0 or sscd:FILE (default: principal components)",
    )
    parser.add_argument("--train", metavar="IMAGES", help="what foreign targets were trained on: a folder or a tensor")
    parser.add_argument("--heldout", metavar="IMAGES", help="real images they were not trained on, for the null")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="CPU threads (default: one, or all cores for networks of a million parameters or more)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the result (default: compare/<hash of the inputs> beside the first run)",
    )


def _threshold(word: str) -> float | str:
    """A number of 0 to 1, or null:RATE."""
    return word if word.startswith("null:") else number(0, 1)(word)


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis.pages import compare as page
    from diffmem.compare.comparison import check, compare
    from diffmem.compare.inputs import default_folder, inputs
    from diffmem.compare.targets.open import open_targets
    from diffmem.compare.targets.read_images import ImagePaths
    from diffmem.metrics.features import extractors
    from diffmem.training.machine import default_threads, full_float32, resolve_device, set_threads

    if find_spec("pyarrow") is None:
        raise InputError("compare writes samples.parquet, which takes pyarrow: pip install 'diffmem[compare]'.")
    device = resolve_device(arguments.device)
    paths = ImagePaths(*(Path(images) if images else None for images in (arguments.train, arguments.heldout)))
    targets = open_targets(arguments.targets, paths)
    check(targets, arguments.samples, arguments.k)
    if not isinstance(arguments.k, str) and not 0 < arguments.k <= 1:
        raise InputError(f"--k={arguments.k} is out of range: a sample is memorized when d1/d2 < k, with 0 < k <= 1.")
    if arguments.features is not None:
        extractors.dimension(arguments.features, targets[0].images.shape)
    if arguments.threads is not None and not 1 <= arguments.threads <= 1024:
        raise InputError(f"--threads={arguments.threads} is out of range: give 1 to 1024, or leave it out.")
    chosen = inputs(targets, arguments.samples, arguments.k, arguments.features)
    folder = Path(arguments.out) if arguments.out else default_folder(targets, chosen)
    page.check_folder(folder, chosen)

    def progress(words: str) -> None:
        print(words, file=sys.stderr)

    full_float32()
    set_threads(arguments.threads or default_threads(max(target.parameters for target in targets)))
    comparison = compare(
        targets,
        samples=arguments.samples,
        k=arguments.k,
        features=arguments.features,
        device=device,
        progress=progress,
    )
    print(page.write(folder, comparison, chosen))
    for note in comparison.notes:
        print(f"Note: {note}")
    print(f"Comparison: {folder / 'compare.html'}")
    return 0
