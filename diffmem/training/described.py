"""What a run directory says of its run before anything is trained: the settings, and what its data are."""

from dataclasses import asdict
from typing import Any

from diffmem.config.data import AUTO
from diffmem.config.identity import MEASURES
from diffmem.data import Dataset, split
from diffmem.data.dataset import check_same_data
from diffmem.data.labels import check_same_labels, recorded
from diffmem.store import FORMAT
from diffmem.training import start
from diffmem.training.plan import Plan
from diffmem.training.rows import eval_dir, set_aside


def write_settings(planned: Plan, dataset: Dataset) -> None:
    """config.yaml (its evaluation settings are those of the first row) and the constant part of meta.json."""
    run, config = planned.run, planned.config
    settings = config.to_mapping()
    first = run.read_config() if run.config_path.exists() else None
    if first is not None and run.primary.has_rows:
        settings |= {name: first[name] for name in ("eval", "sampler")}
    if first != settings:
        run.write_config(settings)
    if run.data_sha256 is None:
        about: dict[str, Any] = {"sha256": dataset.sha256, "source": dataset.source, "licence": dataset.licence}
        if dataset.removed is not None:
            about["removed"] = asdict(dataset.removed)
        about |= recorded(dataset, config.data)
        if config.data.scale == AUTO:
            about["scale"] = split(dataset, config.data).scale
        measures = 1 if run.primary.has_rows else MEASURES  # rows that nothing speaks for are made again
        segments = run.read_meta().get("segments", [])
        begun = {} if config.train.init is None else {"init": {"sha256": start.sha256(config)}}
        run.write_meta({"format": FORMAT, "measures": measures, "data": about, **begun, "segments": segments})
    check_same_data(dataset, run.data_sha256, run.path)
    check_same_labels(dataset, config.data, run.read_meta()["data"], run.path)
    folder = eval_dir(run, config)
    if folder == run.primary:
        set_aside(run)
    else:
        folder.write_settings(config.evaluation())
