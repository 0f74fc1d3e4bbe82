"""`diffmem track`: what runs have written, to an experiment tracker."""

import argparse
import sys
import time
from pathlib import Path

from diffmem.cli.family import add_data
from diffmem.errors import InputError

SUMMARY = "send what runs have written to TensorBoard, Weights & Biases, MLflow or trackio"

EPILOG = """\
trackers, with their options:
  tracker=tensorboard  tracker.folder=null (tensorboard/ beside the runs)
  tracker=wandb        tracker.project=diffmem tracker.entity=null tracker.mode=online (or offline)
  tracker=mlflow       tracker.experiment=diffmem tracker.uri=null (MLFLOW_TRACKING_URI, else mlflow.db beside the runs)
  tracker=trackio      tracker.project=diffmem
`diffmem train` and `diffmem sweep` take the same words and send while they train."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", help="a run directory, or a folder of them, with its figures")
    parser.add_argument("overrides", nargs="*", help="the tracker and its options, such as tracker=tensorboard")
    parser.add_argument("--follow", action="store_true", help="go on until no run is under way, or Ctrl-C")
    add_data(parser)
    parser.epilog = EPILOG


def run(arguments: argparse.Namespace) -> int:
    from diffmem.config import compose
    from diffmem.pictures import Pictures
    from diffmem.store import find_runs
    from diffmem.trackers.base import check
    from diffmem.trackers.feed import Feed, follow

    for word in arguments.overrides:
        if word.partition("=")[0].partition(".")[0] != "tracker":
            raise InputError(f"{word}: only the tracker and its options are chosen here, such as tracker=tensorboard.")
    options = compose.compose_tracker(arguments.overrides)
    if options.name == "none":
        raise InputError("no tracker is named: add tracker=tensorboard, wandb, mlflow or trackio.")
    place = Path(arguments.runs)
    if not find_runs(place):
        raise InputError(f"{place} holds no run: name a run directory, or a folder of them, such as runs/quickstart.")
    check(options)
    feed = Feed(place, options, _say, Pictures(Path(arguments.data) if arguments.data else None))

    def ended(seconds: float) -> bool:
        if feed.over:
            return True
        time.sleep(seconds)
        return False

    if arguments.follow:
        try:
            follow(feed, ended)
        except KeyboardInterrupt:
            feed.close()
    else:
        feed.poll()
        feed.close()
    for name, count in feed.sent.items():
        points = "1 point" if count == 1 else f"{count} points"
        print(f"{name}: {points} sent" if count else f"{name}: nothing to send, all is there")
    return int(feed.failing)


def _say(sentence: str) -> None:
    print(f"diffmem: {sentence}", file=sys.stderr)
