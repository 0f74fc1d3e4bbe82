"""`diffmem fit`: the timescales and laws of a family of runs, as tables."""

import argparse

from diffmem.cli.family import add_family, fitted, say

SUMMARY = "fit the timescales and laws of a family of runs"
add_arguments = add_family


def run(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline

    result = fitted(arguments)
    pipeline.write_tables(result)
    say(result)
    print(f"Tables: {result.folder}")
    return 0
