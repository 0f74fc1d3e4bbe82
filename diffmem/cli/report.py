"""`diffmem report`: tables, figures and the page of a family of runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.cli.family import add_data, add_family, fitted, say

if TYPE_CHECKING:
    from diffmem.analysis.pipeline import Fitted

SUMMARY = "fit a family of runs, draw its figures and write report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_family(parser)
    add_data(parser)


def run(arguments: argparse.Namespace) -> int:
    return write_report(fitted(arguments), arguments.data)


def write_report(result: "Fitted", data: str | None = None) -> int:
    """Write the page and say the law and where the page is. `data` is the folder of images that the user named."""
    from diffmem.analysis import pipeline
    from diffmem.pictures import Pictures

    pictures = Pictures(Path(data) if data else None)
    page = pipeline.report(result, pictures, pictures.notes)
    say(result)
    print(f"Report: {page}")
    return 0
