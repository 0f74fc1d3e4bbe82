"""`diffmem <verb>`: words in, exit code out. 0 well; 1 a run failed; 2 bad input; 128 + signal interrupted.

Each verb is a module of this folder with `SUMMARY`, `add_arguments(parser)` and `run(arguments) -> exit code`. Nothing
heavy is imported before the verb is known: `diffmem --help` answers at once.

This is the one door: whatever fails behind it leaves as a sentence, and `--debug` shows its traceback.
"""

import argparse
import difflib
import os
import sys
import traceback
import warnings
from typing import NoReturn

from diffmem.arguments import shown
from diffmem.cli import (
    advise,
    compare,
    data,
    evaluate,
    figures,
    fit,
    init,
    report,
    status,
    study,
    sweep,
    theory,
    track,
    train,
)
from diffmem.errors import InputError, first_line
from diffmem.files import FULL, MISTAKES, PATH
from diffmem.version import __version__

VERBS = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        init,
        data,
        train,
        sweep,
        status,
        evaluate,
        fit,
        figures,
        report,
        advise,
        compare,
        study,
        theory,
        track,
    )
}
FIRST_STEPS = """\
first steps:
  diffmem sweep                      five runs on 8x8 digits, their law and a report, in minutes
  diffmem train --cfg                every setting of a run, and the choices
  diffmem report runs/quickstart     read what was trained: tables, figures and a page
  diffmem VERB --help                the options of a verb"""


class _Parser(argparse.ArgumentParser):
    """argparse, whose complaints are sentences like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; `{self.prog} --help` shows what there is.")


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        return _run([word for word in words if word != "--debug"])
    except InputError as error:
        return _leave(str(error), 2, debug)
    except BrokenPipeError:  # whoever read our words has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.errno in FULL:
            sentence = f"{error}. What was finished before is kept; start the command again to go on."
            return _leave(sentence, 1, debug)
        if error.errno in MISTAKES and error.filename is not None:
            return _leave(f"{shown(str(error.filename), PATH)}: {error.strerror}: name another.", 2, debug)
        return _unexpected(error, debug)
    except Exception as error:
        return _unexpected(error, debug)
    except KeyboardInterrupt:
        return _leave("interrupted; the same command goes on from here.", 130, debug)


def _run(words: list[str]) -> int:
    parser, verbs = _parsers()
    if not words:
        parser.print_help()
        return 0
    place = next((at for at, word in enumerate(words) if not word.startswith("-")), None)
    try:
        if place is None:
            parser.parse_args(words)
            raise InputError(f"no verb: {', '.join(VERBS)}.")
        verb = words[place]
        if verb not in VERBS:
            near = difflib.get_close_matches(verb, VERBS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VERBS)}."
            raise InputError(f"{verb} is no verb: {hint}")
        # flags and words in any order
        parsed = verbs[verb].parse_intermixed_args([*words[:place], *words[place + 1 :]])
    except SystemExit as leaving:  # --help and --version
        return int(leaving.code or 0)
    return VERBS[verb].run(parsed)


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="diffmem",
        description="Measure, predict and compare when a diffusion model stops generalizing and starts to memorize.",
        epilog=FIRST_STEPS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"diffmem {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of what fails, with any verb")
    verbs = parser.add_subparsers(metavar="verb", parser_class=_Parser)
    made: dict[str, argparse.ArgumentParser] = {}
    for name, module in VERBS.items():
        made[name] = verbs.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(made[name])
    return parser, made


def _unexpected(error: Exception, debug: bool) -> int:
    """The sentence for what nobody thought of: what was being read, what was wrong, how to see more."""
    what = f"{error.__notes__[0]}: " if getattr(error, "__notes__", None) else ""
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    more = "" if debug else " (add --debug to see where)"
    return _leave(f"{what}{kind}{first_line(error)}{more}.", 1, debug)


def _leave(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"diffmem: {sentence}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    print(f"diffmem: warning: {message}", file=sys.stderr)
