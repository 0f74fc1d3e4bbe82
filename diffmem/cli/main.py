"""`diffmem <verb>`: words in, exit code out. 0 well; 1 a run failed; 2 bad input; 128 + signal interrupted.

Each verb is a module of this folder with `SUMMARY`, `add_arguments(parser)` and `run(arguments) -> exit code`. Nothing
heavy is imported before the verb is known: `diffmem --help` answers at once.
"""

import argparse
import sys
import warnings
from collections.abc import Callable

from diffmem.cli import advise, compare, evaluate, figures, fit, report, sweep, theory, train
from diffmem.errors import InputError
from diffmem.version import __version__

VERBS = (train, sweep, evaluate, fit, figures, report, advise, compare, theory)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        parsed = _parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has printed its sentence
        return int(leaving.code or 0)
    run: Callable[[argparse.Namespace], int] = parsed.run_verb
    try:
        return run(parsed)
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
    for module in VERBS:
        verb = verbs.add_parser(
            module.__name__.rpartition(".")[2],
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.set_defaults(run_verb=module.run)
    return parser


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    print(f"diffmem: warning: {message}", file=sys.stderr)
