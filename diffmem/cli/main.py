"""`diffmem <verb>`: words in, exit code out. 0 well; 1 a run failed; 2 bad input; 128 + signal interrupted.

Nothing heavy is imported before the verb is known: `diffmem --help` answers at once.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from diffmem.cli.compare_options import add_arguments
from diffmem.errors import InputError
from diffmem.version import __version__

if TYPE_CHECKING:
    from diffmem.analysis.pipeline import Fitted
    from diffmem.config.settings import Config
    from diffmem.sweep.grid import RunResult
    from diffmem.training.session import Plan

OVERRIDES = """\
overrides are Hydra's: key=value, such as data.n=64 model.width=16 optimizer=sgd seed=1 out=runs/mine.
`diffmem train --cfg [overrides]` shows every key with its value, and the choices of each group."""


DEFINITIONS = """\
definitions of tau_mem: fmem_crosses, fmem_onset, fmem_half, loss_gap, overfit_onset
definitions of tau_gen: quality_reaches, quality_settles, quality_argmin, loss_reaches"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        parsed = _parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has printed its sentence
        return int(leaving.code or 0)
    verb: Callable[[argparse.Namespace], int] = parsed.verb
    try:
        return verb(parsed)
    except InputError as error:
        print(f"diffmem: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"diffmem: {error}. What was finished before is kept; start the command again to go on.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("diffmem: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="diffmem",
        description="Measure, predict and compare when a diffusion model stops generalizing and starts to memorize.",
    )
    parser.add_argument("--version", action="version", version=f"diffmem {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def add(
        name: str, function: Callable[[argparse.Namespace], int], summary: str, *, composes: bool
    ) -> argparse.ArgumentParser:
        verb = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=OVERRIDES if composes else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.set_defaults(verb=function)
        return verb

    train = add("train", _train, "train one run and measure its checkpoints, or go on with it", composes=True)
    train.add_argument("-m", "--multirun", action="store_true", help="run a grid through Hydra's own launcher")
    train.add_argument("--cfg", action="store_true", help="show the settings and the choices, and do nothing")
    train.add_argument("overrides", nargs="*")
    sweep = add("sweep", _sweep, "run a grid through an executor, then fit, draw and report it", composes=True)
    sweep.add_argument("--adaptive", action="store_true", help="spend runs where they sharpen the boundary in n most")
    sweep.add_argument("--runs", type=int, metavar="N", help="runs to spend (default: a third of the grid, at least 4)")
    sweep.add_argument("--step", type=int, help="training step of the boundary (default: train.steps)")
    sweep.add_argument("overrides", nargs="*", help="default: experiment=quickstart")
    evaluate = add(
        "evaluate", _evaluate, "measure a run's stored checkpoints, also under other eval settings", composes=True
    )
    evaluate.add_argument("run", help="a run directory")
    evaluate.add_argument("overrides", nargs="*", help="keys of eval, sampler and device")
    fit = add("fit", _fit, "fit the timescales and laws of a family of runs", composes=False)
    figures = add("figures", _figures, "fit a family of runs and draw its figures", composes=False)
    report = add("report", _report, "fit a family of runs, draw its figures and write report.html", composes=False)
    for verb in (fit, figures, report):
        _add_family(verb)
    advise = add(
        "advise", _advise, "say when a run should stop, from what it and its family have shown", composes=False
    )
    advise.add_argument("run", help="a run directory; the other runs of its folder are its family")
    advise.add_argument("--at", type=int, metavar="STEP", help="as it would have been when the run stood at this step")
    figures.add_argument("names", nargs="*", help="names of figures, such as times_vs_n (default: all there are)")
    compare = add(
        "compare", _compare, "say which checkpoints memorize more, what they copy, and how surely", composes=False
    )
    add_arguments(compare)
    theory = add("theory", _theory, "compute the random-features theory: a figure with its tables", composes=False)
    theory.add_argument("what", choices=("spectrum", "curves", "timescales", "predict"))
    theory.add_argument("overrides", nargs="*", help="such as psi_p=32 psi_n=8 t=0.01; predict takes a data set first")
    return parser


def _add_family(verb: argparse.ArgumentParser) -> None:
    """Which runs, and how their times are read: the fields of `diffmem.analysis.pipeline.Choices`."""
    verb.add_argument(
        "source",
        help="a folder of run directories, a csv with the columns of metrics.csv, or a folder of the study's own code",
    )
    verb.add_argument("--out", help="folder for what is written (default: the folder itself; beside a csv)")
    verb.add_argument("--mem", metavar="DEFINITION", default="fmem_crosses", help="definition of tau_mem")
    verb.add_argument("--gen", metavar="DEFINITION", default="quality_reaches", help="definition of tau_gen")
    verb.add_argument("--level", type=float, help="level of quality common to the runs (default: from their best)")
    verb.add_argument("--quality", metavar="COLUMN", help="measure of quality, such as fd_pca64")
    verb.add_argument("--loss-t", type=int, metavar="T", help="diffusion time of losses (default: the smallest)")
    verb.add_argument("--samples", type=int, help="samples behind a percentage of the study's files (default: 10000)")
    verb.epilog = DEFINITIONS


def _train(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    if arguments.cfg:
        print(compose.describe(arguments.overrides))
        return 0
    if arguments.multirun:
        return _multirun(arguments.overrides)
    return _train_one(compose.compose(arguments.overrides))


def _train_one(config: "Config") -> int:
    from diffmem.sweep.progress import Progress
    from diffmem.training.session import execute, plan

    planned = plan(config)
    with Progress([planned.run]):
        outcome = execute(planned)
    if not outcome.worked:
        print(f"{planned.run.path}: nothing to do, the run is over ({outcome.why}).")
    else:
        print(f"{planned.run.path}: {outcome.status}, {outcome.why}.")
    return outcome.exit_code


def _multirun(overrides: list[str]) -> int:
    from diffmem.config import compose
    from diffmem.sweep.grid import plan_grid

    plan_grid(compose.compose_grid(overrides))  # all bad input is found before the first run
    worst = 0

    def task(config: "Config") -> None:
        nonlocal worst
        worst = max(worst, _train_one(config))

    compose.multirun(overrides, task)
    return worst


def _sweep(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline
    from diffmem.config import compose
    from diffmem.sweep.grid import plan_grid, run_all
    from diffmem.sweep.progress import Progress

    for name in ("runs", "step"):
        if getattr(arguments, name) is not None and not arguments.adaptive:
            raise InputError(f"--{name} is for an adaptive sweep: add --adaptive, or leave it out.")
    overrides = arguments.overrides
    if not any(word.startswith("experiment=") for word in overrides):
        overrides = ["experiment=quickstart", *overrides]
    plans = plan_grid(compose.compose_grid(overrides))
    if arguments.adaptive:
        results = _run_adaptively(plans, arguments)
    else:
        results = run_all(plans, Progress([planned.run for planned in plans]))
    code = 0
    for result in results:
        print(f"{result.run.path}: {result.sentence}")
        code = max(code, result.exit_code)
    if not any(result.worked for result in results) and code == 0:
        print("Nothing to do: every run of the sweep is over.")
    if code > 2:  # interrupted
        return code
    return max(code, _write_report(pipeline.fit(plans[0].run.path.parent)))


def _run_adaptively(plans: "list[Plan]", arguments: argparse.Namespace) -> "list[RunResult]":
    from diffmem.analysis.laws import phase
    from diffmem.analysis.tables.family import read_table
    from diffmem.analysis.times.family import family_times
    from diffmem.sweep import adaptive
    from diffmem.sweep.progress import Progress

    runs, step = adaptive.budget(plans, arguments.runs), adaptive.boundary_step(plans, arguments.step)

    def choose(candidates: Sequence[adaptive.Point], number: int) -> phase.Proposal:
        times = family_times(read_table(plans[0].run.path.parent), n_boot=0)
        return phase.propose_next(times, candidates, step=step, number=number)

    return adaptive.run_adaptively(plans, choose, runs, Progress, lambda line: print(line, flush=True))


def _evaluate(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose
    from diffmem.store import RunDir
    from diffmem.training.session import fill, plan_evaluation
    from diffmem.training.signals import Interrupted

    run = RunDir(Path(arguments.run))
    config = compose.override_evaluation(run.read_config(), arguments.overrides)
    try:
        folder, made = fill(plan_evaluation(run, config))
    except Interrupted:
        print(f"{run.path}: interrupted; the same command goes on from here.")
        return 130
    print(f"{folder}: " + (f"{made} rows computed." if made else "nothing to do, every row is there."))
    return 0


def _fit(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline

    fitted = _fitted(arguments)
    pipeline.write_tables(fitted)
    _say(fitted)
    return 0


def _figures(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline
    from diffmem.runs import neighbour_sheet

    fitted = _fitted(arguments)
    drawn = pipeline.draw(fitted, pipeline.read_sheets(fitted, neighbour_sheet), arguments.names)
    print(f"{fitted.folder / 'figures'}: {', '.join(drawn)}")
    return 0


def _report(arguments: argparse.Namespace) -> int:
    return _write_report(_fitted(arguments))


def _advise(arguments: argparse.Namespace) -> int:
    from diffmem.analysis import pipeline

    print("\n".join(pipeline.advice(arguments.run, arguments.at).sentences))
    return 0


def _fitted(arguments: argparse.Namespace) -> "Fitted":
    from diffmem.analysis import pipeline

    names = ("mem", "gen", "level", "quality", "loss_t", "samples")
    choices = pipeline.Choices(**{name: getattr(arguments, name) for name in names})
    return pipeline.fit(arguments.source, choices, arguments.out)


def _write_report(fitted: "Fitted") -> int:
    from diffmem.analysis import pipeline
    from diffmem.runs import neighbour_sheet, run_film

    page = pipeline.report(fitted, neighbour_sheet, run_film)
    _say(fitted)
    print(f"Report: {page}")
    return 0


def _say(fitted: "Fitted") -> None:
    for note in fitted.family.warnings:
        print(f"diffmem: note: {note}", file=sys.stderr)
    print(fitted.sentence)


def _compare(arguments: argparse.Namespace) -> int:
    from diffmem.analysis.pages import compare as compare_page
    from diffmem.cli import compare as command

    targets, inputs, folder = command.prepare(arguments)
    compare_page.check_folder(folder, inputs)
    result = compare_page.Result(**command.measure(targets, arguments), inputs=inputs)
    print(compare_page.write(folder, result))
    for note in result.notes:
        print(f"Note: {note}")
    print(f"Comparison: {folder / 'compare.html'}")
    return 0


def _theory(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose

    overrides = arguments.overrides
    if arguments.what == "predict" and overrides and "=" not in overrides[0]:
        overrides = [f"data={overrides[0]}", *overrides[1:]]
    config = compose.compose_theory(overrides)
    from diffmem.analysis.figures import theory as theory_figures
    from diffmem.theory.tables import VERBS

    folder = Path(config.out or "runs/theory")
    theory_figures.check_folder(folder)
    made = VERBS[arguments.what](config)
    png, *_ = theory_figures.write(arguments.what, made.table, made.facts, folder)
    print(made.sentence)
    print(f"Figure: {png}, with its svg, csv and json")
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    print(f"diffmem: warning: {message}", file=sys.stderr)
