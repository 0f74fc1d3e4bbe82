"""A page for each verb: what it is for, real commands with what they print, what they write, and its usage.

    python -m docs.make.verbs            # writes docs/verbs/*.md; takes some minutes on one core
    python -m docs.make.verbs --usage    # the index and the usage of each page alone

The commands run in order in one empty folder, in which `data` is docs/data; each verb finds what those before it left.
A test compares the usage with `--help`. `track` needs the package of TensorBoard.
"""

import os
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType

from diffmem.cli import main as command_line
from docs.make.blocks import blocks, empty_folder

DOCS = Path(__file__).resolve().parents[1]
SMALL = (
    "data=digits data.scale=4 model=unet_tiny model.width=8 optimizer.lr=4e-3 optimizer.beta2=0.99 train.batch=16 \\\n"
    "    train.ema=power eval.weights=ema eval.samples=128 eval.test_images=128 'eval.t=[100]' sampler.calls=10 \\\n"
    "    threads=1"
)


@dataclass(frozen=True)
class Example:
    """What a page says of a verb, the commands it shows, folders whose content it lists, and where to read on."""

    purpose: str
    commands: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()
    more: dict[str, str] = field(default_factory=dict)  # words -> page


EXAMPLES = {
    "init": Example(
        "Looks at a folder of images and at the machine, and proposes a first sweep, with the time it takes and the "
        "reasons. Writes nothing.",
        (
            "python - <<'END'\nfrom pathlib import Path\n\nimport numpy as np\nfrom PIL import Image\n\n"
            "Path('photos').mkdir()\nfor i in range(400):\n"
            "    image = np.random.default_rng(i).integers(0, 256, (32, 32), dtype=np.uint8)\n"
            "    Image.fromarray(image).save(f'photos/{i}.png')\nEND\ndiffmem init photos",
        ),
        (),
        {"your own images": "tutorials/your_images.md"},
    ),
    "data": Example(
        "Shows what a data set holds before anything is trained on it: its images, mean image and spectrum, exact and "
        "near copies, f_mem and p_train of held-out images at this n, and its licence.",
        ("diffmem data digits data.n=64 --out card",),
        ("card",),
        {"all data sets": "data_sets.md"},
    ),
    "train": Example(
        "Trains one model on n images and measures it at every checkpoint. The same words find the run again: it goes "
        "on after a kill, does nothing when it is over, and continues with more `train.steps`.",
        (f"diffmem train out=runs/small data.n=16 train.steps=1000 grid.first=100 grid.per_decade=4 \\\n    {SMALL}",),
        ("runs/small/digits-n16-*",),
        {"Train, sweep, evaluate": "training.md", "the run directory": "run_directory.md"},
    ),
    "sweep": Example(
        "Runs a grid through an executor, then fits, draws and reports it. What is finished is left alone, so the same "
        "words go on after a kill.",
        (
            f"diffmem sweep experiment=null out=runs/small data.n=8,16 train.steps=1000 grid.first=100 \\\n"
            f"    grid.per_decade=4 executor.workers=2 \\\n    {SMALL}",
        ),
        ("runs/small",),
        {"a sweep, step by step": "tutorials/sweep.md", "a grid": "training.md#a-grid"},
    ),
    "status": Example(
        "Where the runs of a folder stand, whoever runs them: read from their directories, while they are at work too "
        "(`--watch`).",
        ("diffmem status runs/small",),
        (),
        {"a grid": "training.md#a-grid", "clusters": "cluster.md"},
    ),
    "evaluate": Example(
        "Measures a run's stored checkpoints, also under other `eval` and `sampler` settings than it was trained with.",
        ("diffmem evaluate runs/small/digits-n16-* eval.weights=raw sampler.calls=5",),
        ("runs/small/digits-n16-*/evals/*",),
        {"measuring again": "training.md#measuring-again"},
    ),
    "fit": Example(
        "Reads the times off every run of a family and fits their laws, as tables. A family is a folder of runs, or a "
        "csv such as the fourteen runs of this one.",
        (
            "diffmem fit data/digits_law.csv --out fitted",
            "diffmem fit data/digits_law.csv --mem fmem_onset --out onset",
        ),
        ("fitted",),
        {"times, intervals, laws": "analysis.md", "definitions, with pictures": "definitions.md"},
    ),
    "figures": Example(
        "Draws the figures of a family: all there are, or those named.",
        ("diffmem figures data/digits_law.csv times_vs_n phase_diagram --out drawn",),
        ("drawn/figures",),
        {"how to read the report": "report.md"},
    ),
    "report": Example(
        "Tables, figures and one page, `report.html`, that opens offline.",
        ("diffmem report data/digits_law.csv --out reported",),
        ("reported",),
        {"how to read the report": "report.md"},
    ),
    "advise": Example(
        "Says when a run should stop, from what it and the other runs of its folder have shown. Writes nothing.",
        ("diffmem advise runs/small/digits-n16-*", "diffmem advise runs/small/digits-n16-* --at 400"),
        (),
        {"when to stop": "analysis.md#when-to-stop"},
    ),
    "compare": Example(
        "Which checkpoints memorize more, what they copy, and how surely. Takes runs, folders of diffusers or of the "
        "study's code, and samples.",
        ("run=$(ls -d runs/small/digits-n16-*)\ndiffmem compare $run@316 $run@last --samples 200 --out compared",),
        ("compared",),
        {
            "comparing checkpoints": "compare.md",
            "which of my checkpoints copies?": "tutorials/which_copies.md",
        },
    ),
    "study": Example(
        "A figure of the study: trains its runs, or goes on with them, and says what they show of each claim, beside "
        "what was published. Here the runs are there already, as a table.",
        (
            "diffmem study fig2 --from data/digits_law.csv",
            "diffmem study fig2 --full --dry-run executor.tflops=60 --devices 8",
        ),
        ("runs/study/fig2/reduced",),
        {"the study's figures, with what was found": "gallery.md"},
    ),
    "theory": Example(
        "The random-features theory that explains the law: its spectrum, learning curves and times, and what it "
        "predicts for a data set.",
        ("diffmem theory spectrum psi_p=5 psi_n=2.5 t=0.01 out=theory", "diffmem theory timescales psi_p=64 t=0.01"),
        ("theory",),
        {"the random-features model": "theory.md"},
    ),
    "track": Example(
        "Sends what runs have written to TensorBoard, W&B, MLflow or trackio: what is missing there, and nothing "
        "twice. Takes `pip install 'diffmem[trackers]'`.",
        ("diffmem track runs/small tracker=tensorboard", "diffmem track runs/small tracker=tensorboard"),
        (),
        {"trackers": "trackers.md"},
    ),
}


def usage(verb: str) -> str:
    """`diffmem VERB --help`, 100 columns wide."""
    os.environ["COLUMNS"] = "100"
    with redirect_stdout(StringIO()) as printed:
        command_line.main([verb, "--help"])
    return printed.getvalue()


def name(module: ModuleType) -> str:
    """A verb's name, which is that of its module."""
    return module.__name__.rpartition(".")[2]


def page(module: ModuleType) -> str:
    """The page of one verb. Runs its commands in the working directory."""
    verb = name(module)
    example = EXAMPLES.get(verb, Example(f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}."))
    parts = [f"# `diffmem {verb}`", example.purpose]
    parts += [f"```sh\n{command}\n```\n\n```text\n{_printed(command)}```" for command in example.commands]
    for folder in example.listed:
        found = next(Path.cwd().glob(folder))
        entries = sorted(entry.name + "/" * entry.is_dir() for entry in found.iterdir())
        parts.append(f"What is in `{folder}` now: " + ", ".join(f"`{entry}`" for entry in entries) + ".")
    if example.more:
        parts.append("More: " + ", ".join(f"[{words}](../{place})" for words, place in example.more.items()) + ".")
    parts.append(f"## Usage\n\n```text\n{usage(verb)}```")
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The table of verbs."""
    rows = [f"| [`{name(module)}`]({name(module)}.md) | {module.SUMMARY} |" for module in command_line.VERBS.values()]
    head = "# Verbs\n\nEach page shows real commands with what they printed, and ends in the verb's usage.\n\n"
    return head + "\n".join(["| `diffmem` | |", "|---|---|", *rows]) + "\n"


def _printed(command: str) -> str:
    """What a command prints: the notes and sentences of both streams, without the lines of progress."""
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stdout}")
    lines = [line for line in done.stdout.splitlines(keepends=True) if not _is_progress(line)]
    return "".join(lines)


def _is_progress(line: str) -> bool:
    return line.startswith(("digits-", "drawing ")) and "  " in line.rstrip()


def with_usage(verb: str, text: str) -> str:
    """A page with the usage of now."""
    *_, old = blocks(text)
    return text[: old.start] + usage(verb) + text[old.end :]


def main(arguments: list[str]) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(DOCS.parent), os.environ.get("PYTHONPATH", "")])
    verbs = command_line.VERBS
    if arguments == ["--usage"]:
        pages = {verb: with_usage(verb, (DOCS / "verbs" / f"{verb}.md").read_text()) for verb in verbs}
    else:
        with empty_folder() as folder:
            shutil.copytree(DOCS / "data", folder / "data")
            pages = {verb: page(module) for verb, module in verbs.items()}
    (DOCS / "verbs").mkdir(exist_ok=True)
    for verb, text in {**pages, "index": index()}.items():
        (DOCS / "verbs" / f"{verb}.md").write_text(text)
    print(f"{len(pages)} pages in {DOCS / 'verbs'}")


if __name__ == "__main__":
    main(sys.argv[1:])
