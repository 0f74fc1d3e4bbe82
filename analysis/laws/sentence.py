"""What a family shows, in one sentence: its laws, the window to train in, or what is not there yet.

Where nothing was reached the sentence says so and how far to go on, not which laws are refused; of one run it says the
times. Numbers of steps are those of the tables (`times.words`).
"""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..times.words import steps, time_words, window_end
from .family import bend_words, bends, exponent
from .groups import more_words

ENDS = {"tau_bias": "bias", "tau_mem": "memorization"}
NAMES = {"tau_gen": "tau_gen", "tau_bias": "tau_bias", "fmem_onset": "first copies", "tau_mem": "tau_mem"}
FURTHER = 4  # times as many steps are proposed where nothing was reached


def sentence(fitted: Mapping[str, Mapping[str, Any]], times: pd.DataFrame) -> str:
    """The laws and the window to train in, for people: one line, which says what was not reached.

    An exponent is that of the n that were trained: of a law that bends it is an average, and none of larger n.
    """
    if len(times) == 1:
        return _one_run(times.iloc[0].to_dict())
    parts = [_part(name, law, times) for name, law in fitted.items()]
    known = any("refused" not in law for law in fitted.values())
    over = f"from n = {times['n'].min()} to {times['n'].max()} " if known else ""
    return f"{over}{', '.join(parts)}; {_window(times)}"


def _one_run(row: Mapping[Any, Any]) -> str:
    """The times of a run that stands alone."""
    measured = [name for name in NAMES if row.get(f"{name}_status", "refused") != "refused"]
    said = ", ".join(f"{NAMES[name]} {time_words(row, name)}" for name in measured) or "no time was measured"
    unreached = [name for name in ("tau_mem", "tau_gen") if row.get(f"{name}_status") in ("right", "refused")]
    further = f"; {_go_on(row['tau_mem_last_step'])}" if len(unreached) == 2 else ""
    return f"one run, n = {row['n']}: {said}{further}; laws take runs at three n or more"


def _part(name: str, law: Mapping[str, Any], times: pd.DataFrame) -> str:
    if "refused" in law:
        return _not_yet(name, times) or f"{name}: no law ({law['refused']})"
    if bends(law):
        text = f"{name} {bend_words(law)}"
    else:
        text = f"{name} ~ n^{exponent(law['alpha'], law['low'], law['high'])}"
    if law["beta_low"] is not None:
        text += f" W^{exponent(law['beta'], law['beta_low'], law['beta_high'])}"
    elif law["beta"] is not None:
        known = more_words("W", sorted(set(times["width"])), 1)
        text += f" W^{law['beta']:.2f} (no interval from two W: {known})"
    return text


def _not_yet(name: str, times: pd.DataFrame) -> str:
    """What a time means that no run has reached; empty where some has, or none can say."""
    if set(times[f"{name}_status"]) != {"right"}:
        return ""
    last = steps(times[f"{name}_last_step"].max())
    definition = str(times.get(f"{name}_definition", pd.Series([""])).iloc[0])
    if name == "tau_gen" and definition.startswith("quality"):
        if times["tau_gen_bound"].isna().all():
            return "these images are too few for the level of quality"
        return "samples are far from held-out images"
    if name == "tau_mem" and definition.startswith("fmem"):
        copies = "fmem_onset_status" in times and (times["fmem_onset_status"] == "reached").any()
        return (
            f"first copies, but tau_mem not reached by step {last}" if copies else f"nothing memorized by step {last}"
        )
    return f"{name} not reached by step {last}"


def _go_on(last_step: float) -> str:
    return f"go on with train.steps={math.ceil(FURTHER * last_step)}"


def _window(times: pd.DataFrame) -> str:
    """From quality to bias at the largest n where some run reached both, when copies come, and what is open beyond.

    Where p_train was never measured the window ends at memorization.
    """
    end = window_end(times)
    both = times[(times["tau_gen_status"] == "reached") & (times[f"{end}_status"] == "reached")]
    if both.empty and all(_not_yet(name, times) for name in ("tau_gen", "tau_mem")):
        return _go_on(times["tau_mem_last_step"].max())
    if both.empty:
        return f"no run reached both times: {_open_ends(times, end)}"
    at = both[both["n"] == both["n"].max()]
    at = at[at["width"] == at["width"].max()]
    first, last = at.iloc[int(at["tau_gen"].argmax())], at.iloc[int(at[end].argmin())]
    where = f"at n = {at['n'].iloc[0]}"
    if times["width"].nunique() > 1:
        where += f", W = {at['width'].iloc[0]}"
    text = f"{where} train between step {_at(first, 'tau_gen')} and step {_at(last, end)}"
    if first["tau_gen"] >= last[end]:
        text = f"{where} there is no window: {ENDS[end]} at step {_at(last, end)}, quality at step "
        text += _at(first, "tau_gen")
    text += _copies(at) if end == "tau_bias" else ""
    beyond = times[times["n"] > both["n"].max()]
    return text if beyond.empty else f"{text} ({_open_ends(beyond, end)})"


def _at(row: "pd.Series[Any]", name: str) -> str:
    """A time as the tables have it, without its interval."""
    return steps(row[name], *(float(row.get(f"{name}_{end}", math.nan)) for end in ("low", "high")))


def _copies(at: pd.DataFrame) -> str:
    """When the first copies come, and when memorization: the earliest of these runs."""
    memorized = "5% copies" if set(at["tau_mem_definition"]) == {"fmem_crosses"} else "memorization"
    said = []
    for name, words in (("fmem_onset", "first copies"), ("tau_mem", memorized)):
        reached = at[at[f"{name}_status"] == "reached"]
        right = at.loc[at[f"{name}_status"] == "right", f"{name}_last_step"]
        if len(reached):
            said.append(f"{words} at step {_at(reached.iloc[int(reached[name].argmin())], name)}")
        elif len(right):
            said.append(f"{words} not by step {steps(right.max())}")
    return f"; {', '.join(said)}" if said else ""


def _open_ends(times: pd.DataFrame, end: str) -> str:
    """What the runs of the largest n did not reach."""
    at = times[times["n"] == times["n"].max()]
    said = []
    for name in ("tau_gen", end):
        for status, words in (("right", "not reached by"), ("left", "already true before"), ("refused", "refused")):
            runs = at[at[f"{name}_status"] == status]
            if len(runs):
                last = "" if status == "refused" else f" step {steps(runs[f'{name}_last_step'].max())}"
                said.append(f"{name} {words}{last}")
    return f"at n = {at['n'].iloc[0]} {', '.join(said)}"
