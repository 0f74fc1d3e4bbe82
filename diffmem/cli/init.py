"""`diffmem init`: a first sweep on somebody's own images, with the time it takes and the reasons."""

import argparse
import shlex
from pathlib import Path

from diffmem.cli.words import duration
from diffmem.errors import InputError

SUMMARY = "look at a folder of images and at this machine, and propose a first sweep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a folder of images")
    parser.add_argument(
        "--hours", type=float, default=2.0, help="that the sweep may take; larger images take longer (default: 2)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")


def run(arguments: argparse.Namespace) -> int:
    from diffmem.sweep import first
    from diffmem.training import machine

    if not 0 < arguments.hours < float("inf"):
        raise InputError(f"--hours={arguments.hours} is no time to wait: give a number above 0, such as --hours 2.")
    device = machine.resolve_device(arguments.device)
    root = Path(arguments.data)
    try:
        images = first.look(root)
    except InputError as error:
        raise InputError(str(error).replace("data.root=", "DATA=").replace("data.root", "DATA")) from error
    made = first.propose(images, device, arguments.hours)
    colours = "gray" if images.gray else "in colour"
    left_out = f"; {images.left_out}" if images.left_out else ""
    print(f"{root}: {images.count} images {colours}, {images.side} pixels on the shorter side{left_out}")
    where = f"{machine.cores()} cores, no GPU" if device.type == "cpu" else machine.describe(device)["device_name"]
    print(f"this machine: {where}{first.busy()}")
    print(f"\n    diffmem sweep {shlex.join(made.words)}\n")
    speed, evaluation = first.rounded(made)
    print(
        f"takes about {duration(made.expected)}, at most {duration(made.most)}, as measured here: {speed} steps/s and "
        f"{evaluation} s a checkpoint in each of {made.at_once} runs at once."
    )
    if made.most > arguments.hours * 3600:
        print(f"That is more than the {arguments.hours:g} h there are: fewer images (data.n) or steps take less.")
    print("\nWhy:")
    for option, words in made.why.items():
        print(f"  {option}: {words}")
    return 0
