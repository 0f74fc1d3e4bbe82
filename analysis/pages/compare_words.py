"""A comparison in one sentence."""

from diffmem.records import Comparison

BOOKENDS = ("empirical", "population")  # exact targets: no checkpoint to say something of
CHANCE = 0.05  # p from which on a difference may be chance


def sentence(result: Comparison) -> str:
    """Which target memorizes most, and whether that is real."""
    table, pairs = result.table, result.pairs
    trained = table[~table["kind"].isin(BOOKENDS)]
    shown = trained if len(table) > 2 and len(trained) > 1 else table
    ordered = shown.sort_values("f_mem", ascending=False, kind="stable").to_dict("records")
    first = ordered[0]
    value = f"{first['f_mem']:.3f} [{first['f_mem_low']:.3f}, {first['f_mem_high']:.3f}]"
    if len(table) == 1:
        return f"{first['target']}: f_mem = {value}, null {first['f_mem_null']:.3f}."
    if len(table) > 2:
        rest = others([f"{row['f_mem']:.3f}" for row in ordered[:0:-1]])
        test = result.overall
        tail = f"; over all {test['targets']} paired targets {p_words(test['p'])} ({test['test']})" if test else ""
        return f"{first['target']} memorizes most: f_mem = {value}, {rest}{tail}."
    pair = pairs.iloc[0]
    sign = 1 if pair["first"] == first["target"] else -1
    ends = sorted((sign * pair["difference_low"], sign * pair["difference_high"]))
    real = pair["p"] < CHANCE
    verb = "memorizes more than" if real else "and"
    tail = "" if real else " do not differ beyond chance"
    return (
        f"{first['target']} {verb} {ordered[1]['target']}{tail}: f_mem = {first['f_mem']:.3f} and "
        f"{ordered[1]['f_mem']:.3f}, difference {sign * pair['difference']:.3f} [{ends[0]:.3f}, {ends[1]:.3f}], "
        f"{p_words(pair['p'])} ({pair['test']})."
    )


def others(shares: list[str]) -> str:
    """f_mem of all but the first, ascending."""
    if len(shares) == 1:
        return f"the other {shares[0]}"
    return f"the others {shares[0]} " + ("each" if shares[0] == shares[-1] else f"to {shares[-1]}")


def p_words(p: float) -> str:
    """`p = 0.013`, `p < 0.0001`."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
