"""`diffmem report`: tables, figures and the page of a family of runs."""

import argparse
from typing import TYPE_CHECKING

from diffmem.cli.family import add_family, fitted, say

if TYPE_CHECKING:
    from diffmem.analysis.pipeline import Fitted

SUMMARY = "fit a family of runs, draw its figures and write report.html"
add_arguments = add_family


def run(arguments: argparse.Namespace) -> int:
    return write_report(fitted(arguments))


def write_report(result: "Fitted") -> int:
    """Write the page and say the law and where the page is."""
    from diffmem.analysis import pipeline
    from diffmem.runs import neighbour_sheet, run_film

    page = pipeline.report(result, neighbour_sheet, run_film)
    say(result)
    print(f"Report: {page}")
    return 0
