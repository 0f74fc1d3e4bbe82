"""`diffmem data`: the card of a data set, as text and as a figure with its tables."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.errors import InputError

if TYPE_CHECKING:
    from diffmem.records import CopyPair, DataCard

SUMMARY = "show what a data set holds: images, copies, spectrum, the null at n, its licence"

EPILOG = """\
overrides are those of `diffmem train` in the group data: data.n=64 data.size=32 data.augment=flip.
For other data sets than a folder or an array, DATA is the word of `data=WORD`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a data set, such as digits; a folder of images; an array")
    parser.add_argument("overrides", nargs="*", help="such as data.n=64")
    parser.add_argument("--out", type=Path, default=Path("runs/data"), help="folder (default: runs/data)")
    parser.add_argument(
        "--without-images", action="store_true", help="show the mean image alone, of a set that may not be passed on"
    )
    parser.epilog = EPILOG


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config.compose import compose_data, groups

    words = _words(arguments.data, groups()["data"])
    config = compose_data([*words, *arguments.overrides])
    from diffmem.analysis.figures import data_card as figures
    from diffmem.data_card import data_card
    from diffmem.files import check_folder

    check_folder(arguments.out, "--out")
    try:
        card = data_card(config, pictures=not arguments.without_images)
    except InputError as error:
        if arguments.data in groups()["data"]:
            raise
        raise InputError(str(error).replace("data.root=", "DATA=")) from error
    print(_text(card))
    png, *_ = figures.write(card, arguments.out)
    print(f"Figure: {png}, with its svg, csv (the spectrum), {card.name}_copies.csv and json")
    return 0


def _words(data: str, sets: list[str]) -> list[str]:
    """The overrides that name what DATA is."""
    if data in sets:
        return [f"data={data}"]
    path = Path(data)
    if path.is_dir():
        return ["data=image_folder", f"data.root={path}"]
    if path.is_file():
        from diffmem.data import array

        channels, _, size = array.shape(path)
        return ["data=array", f"data.root={path}", f"data.size={size}", f"data.channels={channels}"]
    raise InputError(f"DATA={data} is no data set, folder or array: give one of {', '.join(sets)}, or a path.")


def _text(card: "DataCard") -> str:
    shape = "x".join(map(str, card.shape))
    null = card.null
    lines = [
        f"{card.name}: {card.count:,} of shape {shape}, the last {card.test_count:,} held out; sha256 {card.sha256}",
        f"source: {card.source}",
        f"licence: {card.licence}",
    ]
    lines += [card.left_out] * bool(card.left_out)
    lines += [f"taken out: {card.removed} copies"] * bool(card.removed)
    if card.classes:
        lines.append(f"classes: {len(card.classes)}; {_counts(card.classes)}")
    lines += [
        f"copies: {_pairs(card.exact, 'exact')}; {_pairs(card.near, 'near')} (closer than 1/3 of the median distance "
        "from an image to its nearest other)",
        f"variance: 90% in {card.directions(0.9)} directions, 99% in {card.directions(0.99)}; effective dimension "
        f"{card.effective_dimension:.1f}",
        f"null at n = {null.n:,}, of {null.held_out:,} held-out images: f_mem {_interval(null.f_mem)}, "
        f"p_train {_interval(null.p_train)}",
    ]
    return "\n".join(lines)


def _counts(classes: dict[str, int], most: int = 12) -> str:
    shown = ", ".join(f"{name} {count}" for name, count in list(classes.items())[:most])
    return shown + (", ..." if len(classes) > most else "")


def _pairs(pairs: "tuple[CopyPair, ...]", kind: str, most: int = 3) -> str:
    examples = "; ".join(f"image {pair.copy} of {pair.of}" for pair in pairs[:most])
    more = ", ..." if len(pairs) > most else ""
    return f"{len(pairs)} {kind}" + (f" [{examples}{more}]" if pairs else "")


def _interval(share: tuple[float, float, float]) -> str:
    value, low, high = share
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"
