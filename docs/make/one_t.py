"""docs/data/targets_one_t.csv: steps at which networks of each target have learned their points, at one t alone.

    for t in 100 200; do
        diffmem sweep experiment=targets_mixture diffusion.predict=epsilon,x0,v seed=0,1 train.t=$t "eval.t=[$t]" \\
            stop.f_mem=null out=runs/one_t/$t
        diffmem sweep experiment=targets_mixture diffusion.predict=v train.loss_weight=min_snr seed=0,1 train.t=$t \\
            "eval.t=[$t]" stop.f_mem=null out=runs/one_t/${t}_min_snr
    done
    for weight in uniform min_snr; do
        diffmem sweep experiment=targets_mixture diffusion.predict=v train.loss_weight=$weight seed=0,1 train.t=100 \\
            "eval.t=[100]" stop.f_mem=null optimizer.lr=0.00625 out=runs/one_t/100_small_$weight
    done
    python -m docs.make.one_t runs/one_t

Each step is that at which the loss of ε on the training points falls through a level, interpolated in log step and log
loss; the levels are LEVELS[t]. The sweeps say that such runs have no common law, which is why this reads them.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import diffmem

TABLE = Path(__file__).resolve().parents[1] / "data" / "targets_one_t.csv"
LEVELS = {100: (0.3, 0.1), 200: (0.4, 0.3)}


def crossing(steps: NDArray[np.int64], losses: NDArray[np.float64], level: float) -> float:
    """The step at which `losses`, measured at `steps` [K], first fall through `level`; NaN where they do not."""
    x, y = np.log(steps), np.log(losses / level)
    below = np.flatnonzero(y < 0)
    if not len(below) or below[0] == 0:
        return float("nan")
    i = below[0]
    return float(np.exp(x[i - 1] - y[i - 1] * (x[i] - x[i - 1]) / (y[i] - y[i - 1])))


def main(folder: Path) -> pd.DataFrame:
    """The runs in `folder`/T*, a row for each t, learning rate, level, target and replicate; written to TABLE."""
    records = []
    for t, levels in LEVELS.items():
        for run in [run for part in sorted(folder.glob(f"{t}*")) for run in diffmem.load_runs(part)]:
            rows = run.metrics().query("step > 0")
            for level in levels:
                step = crossing(rows["step"].to_numpy(), rows[f"loss_train_t{t}"].to_numpy(), level)
                target = run.config.to_mapping()["diffusion"].get("predict", "epsilon")
                target += ", min-SNR" if run.config.train.loss_weight == "min_snr" else ""
                named = {"lr": run.config.optimizer.lr, "loss": level, "target": target, "seed": run.config.seed}
                records.append({"t": t, **named, "step": round(step)})
    table = pd.DataFrame(records).sort_values(list(records[0]), ascending=[True, False, False, True, True, True])
    table.to_csv(TABLE, index=False)
    return table


if __name__ == "__main__":
    print(main(Path(sys.argv[1])).to_string(index=False))
