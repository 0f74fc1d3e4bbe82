"""The arms of a study that are one family, such as one width each, put together."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..tables.family import Family, check_one_family, read_table

KEYS = ["n", "width", "seed", "index"]


def joined(places: Mapping[str, Path]) -> Family:
    """All runs in `places` as one family, one that is in several places once.

    Raises InputError where their settings, which a csv does not hold, are not of one family.
    """
    families = [read_table(place) for place in places.values()]
    runs = pd.concat([family.runs for family in families]).drop_duplicates("run").sort_values(KEYS, kind="stable")
    known = runs[runs["path"].notna()]
    if len(known):
        check_one_family(known)
    rows = pd.concat([family.rows for family in families]).drop_duplicates(["run", "step"])
    rows = rows.sort_values([*KEYS, "step"], kind="stable", ignore_index=True)
    return Family(runs.reset_index(drop=True), rows, [note for family in families for note in family.warnings])
