"""The options of `diffmem compare`. Imports nothing heavy: `diffmem --help` reads it."""

import argparse

EPILOG = """\
A target is PATH or PATH@WHICH, where PATH is
  a run directory                  WHICH: a step, last (the default), best or all
  a folder of the reference code   Models/Model_<step>, with --train TENSOR; WHICH: a step, last or all
  a folder of diffusers            an unconditional pipeline or a UNet2DModel, with --train IMAGES
  samples                          a folder of images or a tensor (.pt, .npy, .safetensors), with --train IMAGES
or one of the exact bookends of the first run named before it:
  empirical                        the exact denoiser of its training images
  population                       the exact score of its data, where these are a Gaussian mixture
@best is the lowest Frechet distance among the checkpoints before the first whose memorized share is surely above that
of held-out images (its 95% interval lies above that of the null)."""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Targets and options."""
    verb.epilog = EPILOG
    verb.add_argument("targets", nargs="+", metavar="TARGET", help="PATH, PATH@WHICH, empirical or population")
    verb.add_argument("--samples", type=int, default=1000, metavar="N", help="samples of each target (default: 1000)")
    verb.add_argument("--k", type=float, default=1 / 3, help="a sample is memorized when d1/d2 < k (default: 1/3)")
    verb.add_argument("--train", metavar="IMAGES", help="what foreign targets were trained on: a folder or a tensor")
    verb.add_argument("--heldout", metavar="IMAGES", help="real images they were not trained on, for the null")
    verb.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    verb.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the result (default: compare/<hash of the inputs> beside the first run)",
    )
