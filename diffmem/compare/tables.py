"""Measured targets to tables: pairs of targets and their tests, copied images, ranks of the measures.

Sample m of two targets starts from the same noise, so the two are a pair: the test is McNemar's exact one, and the
interval of the difference Newcombe's paired one. Samples made elsewhere have no known noise: against them the test is
Fisher's, and the interval the unpaired one.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact
from torch import Tensor

from diffmem.compare.measure import Measured
from diffmem.metrics import panel
from diffmem.metrics.consistency import Consistency, consistency, unrelated
from diffmem.stats import paired


def sample_rows(one: Measured) -> pd.DataFrame:
    d1, d2 = one.nearest.d1.numpy(), one.nearest.d2.numpy()
    return pd.DataFrame(
        {
            "target": one.target.label,
            "sample": np.arange(len(d1)),
            "d1": d1,
            "d2": d2,
            "ratio": d1 / d2,
            "nearest": one.nearest.i1.numpy(),
            "second": one.nearest.i2.numpy(),
            "memorized": one.memorized,
        }
    )


def pairs(measured: Sequence[Measured], heldout: Mapping[str, Tensor | None]) -> pd.DataFrame:
    rows = []
    for first, second in itertools.combinations(measured, 2):
        rows.append(_pair(first, second, heldout[first.target.images.identity]))
    adjusted = paired.holm([row["p"] for row in rows])
    return pd.DataFrame([{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)])


def _pair(first: Measured, second: Measured, heldout: Tensor | None) -> dict[str, Any]:
    a, b = first.memorized, second.memorized
    row: dict[str, Any] = {"first": first.target.label, "second": second.target.label}
    agreed = Consistency(np.nan, np.nan)
    if first.target.paired and second.target.paired:
        counts = [int(np.sum(x)) for x in (a & b, a & ~b, ~a & b, ~a & ~b)]
        row |= dict(zip(("both", "only_first", "only_second", "neither"), counts, strict=True))
        row |= {"test": "McNemar exact", "p": paired.mcnemar_exact(counts[1], counts[2])}
        difference = paired.newcombe_paired(*counts)
        agreed = consistency(first.kept, second.kept)
    else:
        table = np.array([[x.sum(), (~x).sum()] for x in (a, b)])
        row |= dict.fromkeys(("both", "only_first", "only_second", "neither"), None)
        row |= {"test": "Fisher exact", "p": float(fisher_exact(table).pvalue)}
        difference = paired.newcombe_unpaired(int(a.sum()), len(a), int(b.sum()), len(b))
    row |= {"difference": difference.value, "difference_low": difference.low, "difference_high": difference.high}
    keys = [set(one.target.images.keys) for one in (first, second)]
    copies = [_copied_keys(one) for one in (first, second)]
    common = keys[0] & keys[1]
    row |= {
        "common_images": len(common),
        "copied_by_both": len(copies[0] & copies[1]),
        "copied_by_either": len((copies[0] | copies[1]) & common),
        "consistency_cosine": agreed.cosine,
        "consistency_distance": agreed.distance,
        "consistency_cosine_null": unrelated(heldout).cosine if heldout is not None else np.nan,
        "disjoint": not common,
    }
    return row


def _copied_keys(one: Measured) -> set[str]:
    """The training images that a target copies, by their content."""
    keys = one.target.images.keys
    return {keys[place] for place in one.nearest.i1.numpy()[one.memorized]}


def copied(measured: Sequence[Measured]) -> pd.DataFrame:
    """image (its content), target, its index in the target's set, samples, and targets: how many targets copy it."""
    rows = []
    for one in measured:
        places, counts = np.unique(one.nearest.i1.numpy()[one.memorized], return_counts=True)
        rows += [
            {"image": one.target.images.keys[place], "target": one.target.label, "index": int(place), "samples": int(n)}
            for place, n in zip(places, counts, strict=True)
        ]
    table = pd.DataFrame(rows, columns=["image", "target", "index", "samples"])
    table["targets"] = table.groupby("image")["target"].transform("nunique").astype(int)
    return table.sort_values(["target", "samples", "index"], ascending=[True, False, True], ignore_index=True)


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Rank of each target under each measure, 1 = memorizes most; ties share the mean rank."""
    rows = []
    for name, measure in panel.MEASURES.items():
        values = table[name] * measure.direction
        if values.notna().any():
            rows.append({"measure": name, **dict(zip(table["target"], values.rank(ascending=False), strict=True))})
    return pd.DataFrame(rows)


def correlations(measured: Sequence[Measured], table: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlations between measures, signed so that 1 is agreement, over the checkpoints of each training.

    One row a training with three checkpoints or more and a pair of measures that both vary.
    """
    rows = []
    groups = pd.Series([one.target.group for one in measured], index=table.index)
    for group, part in table.groupby(groups, sort=False):
        if len(part) < 3:
            continue
        signed = pd.DataFrame({name: part[name] * m.direction for name, m in panel.MEASURES.items()})
        ranked = signed.dropna(axis=1).rank()
        ranked = ranked.loc[:, ranked.nunique() > 1]
        for first, second in itertools.combinations(map(str, ranked), 2):
            agreement = float(ranked[first].corr(ranked[second]))
            row = {"training": str(group), "checkpoints": len(part), "first": first, "second": second}
            rows.append({**row, "spearman": agreement})
    return pd.DataFrame(rows, columns=["training", "checkpoints", "first", "second", "spearman"])


def overall(measured: Sequence[Measured]) -> dict[str, Any]:
    fair = [one for one in measured if one.target.paired]
    if len(fair) < 3:
        return {}
    test = paired.cochran_q(np.stack([one.memorized for one in fair], axis=1))
    return {"test": "Cochran's Q", "statistic": test.statistic, "df": test.df, "p": test.p, "targets": len(fair)}
