"""`diffmem study`: a figure of the study, from its runs to its claims with the numbers found."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.cli import sweep
from diffmem.cli.family import add_data
from diffmem.cli.numbers import whole
from diffmem.cli.overrides import add_overrides
from diffmem.errors import InputError
from diffmem.files import check_folder

if TYPE_CHECKING:
    from diffmem.config.study import Study

OWN = ("out=", "experiment=")  # overrides that an arm has already
SUMMARY = "a figure of the study: its runs, and what they say of each of its claims"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("figure", nargs="?", help="the figure (default: list them with their claims)")
    parser.add_argument("--full", action="store_true", help="the study's own setting, for GPUs, not the reduced one")
    parser.add_argument("--dry-run", action="store_true", help="say what the runs will cost, and do nothing")
    parser.add_argument(
        "--devices", type=whole(1, 10**6), metavar="N", help="devices of executor.tflops that a dry run counts with"
    )
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        metavar="[ARM=]PATH",
        help="read an arm from a folder of runs or a csv that is there, and run the others; may be repeated",
    )
    parser.add_argument("--out", help="folder of the arms and of what is written (default: runs/study/FIGURE/VERSION)")
    add_data(parser)
    add_overrides(parser, "of every arm that is run, in place of its own, such as executor=devices data.root=DIR")


@dataclass(frozen=True)
class Arms:
    """Where each arm of a study lies, and the words of the sweeps of those that are not there already."""

    places: dict[str, Path]
    sweeps: dict[str, list[str]]


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config.study import read_study

    if arguments.figure is None:
        return _list()
    study = read_study(arguments.figure)
    version = "full" if arguments.full else "reduced"
    folder = Path(arguments.out or f"runs/study/{study.name}/{version}")
    check_folder(folder, "--out")
    arms = _arms(study, version, folder, arguments)
    if arguments.dry_run:
        return _dry_run(arms, arguments.devices)
    if arguments.devices is not None:
        raise InputError("--devices is for a dry run: add --dry-run, or leave it out.")
    planned = {arm: sweep.prepare(words) for arm, words in arms.sweeps.items()}
    codes = [0]
    for arm, one in planned.items():
        print(f"{study.name}, {arm}:", flush=True)
        codes.append(sweep.carry_out(one, reported=False))
        if codes[-1] > 2:  # interrupted
            break
    return max(codes) or _read(study, version, folder, arms, Path(arguments.data) if arguments.data else None)


def _list() -> int:
    from diffmem.config.study import read_study, study_names

    for study in map(read_study, study_names()):
        print(f"{study.name}: {study.title}")
        for claim in study.claims.values():
            print(f"  - {claim.words}")
    return 0


def _arms(study: "Study", version: str, folder: Path, arguments: argparse.Namespace) -> Arms:
    """The arms of a version of `study`. Raises InputError for a source of none, and for overrides that do not fit."""
    words = {"reduced": study.reduced, "full": study.full}[version]
    given = dict(_source(study.name, source, list(words)) for source in arguments.sources)
    left = [arm for arm in words if arm not in given]
    for override in arguments.overrides:
        if override.startswith(OWN):
            raise InputError(f"{override} is not for a study, whose arms have theirs: say --out for another folder.")
        if not left:
            raise InputError(
                f"{override} changes runs, and every arm of {study.name} is read by --from: leave one of them out."
            )
    named = {override.partition("=")[0] for override in arguments.overrides}
    own = {arm: [word for word in words[arm] if word.partition("=")[0] not in named] for arm in left}
    sweeps = {arm: [*own[arm], *arguments.overrides, f"out={folder / arm}"] for arm in left}
    return Arms({arm: folder / arm for arm in words} | given, sweeps)


def _source(figure: str, word: str, arms: list[str]) -> tuple[str, Path]:
    """The arm that a `--from` names, and the place. Raises InputError for no arm, and for a place that is not there."""
    arm, equals, path = word.partition("=")
    if not equals and len(arms) == 1:
        arm, path = arms[0], word
    if arm not in arms or not path:
        raise InputError(f"--from {word} names no arm of {figure}: write {arms[0]}=PATH, or one of {', '.join(arms)}.")
    if not Path(path).exists():
        raise InputError(f"--from {word}: there is no {path}: name a folder of runs, or a csv.")
    return arm, Path(path)


def _dry_run(arms: Arms, devices: int | None) -> int:
    from diffmem.config import compose
    from diffmem.sweep.estimate_table import described

    for arm, words in arms.sweeps.items():
        print(f"{arm}: {described(sweep.estimated(compose.compose_grid(words), devices))}\n")
    return 0


def _read(study: "Study", version: str, folder: Path, arms: Arms, data: Path | None) -> int:
    """Read the arms, write the table of claims and the figure into `folder`, and say the claims."""
    from diffmem.analysis.figures.files import save
    from diffmem.analysis.studies import claims, registry
    from diffmem.analysis.studies.reading import Request
    from diffmem.pictures import Pictures

    request = Request(places=arms.places, keys=list(study.claims), images=Pictures(data))
    reading = registry.read(study.reader, request)
    table = claims.table(study.claims, reading.found, reduced=version == "reduced")
    claims.write(table, folder)
    save(reading.picture.figure, reading.picture.data, folder, "figure")
    print(claims.described(table))
    print(f"Figure and claims: {folder}")
    return 0
