"""Where a command sends what its runs write. No setting of a run: nothing is stored with it, nothing hashed.

Each tracker has its options here and its file in `diffmem/trackers/`, both by the same name.
"""

from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from diffmem.config.options import Variant, option
from diffmem.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TrackerConfig(Variant):
    """What the points and pictures of a run are sent to."""

    name: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class NoTracker(TrackerConfig):
    """Nothing is sent."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True, kw_only=True)
class TensorBoardTracker(TrackerConfig):
    """TensorBoard's event files."""

    name: ClassVar[str] = "tensorboard"
    folder: str | None  # null: tensorboard/ beside the runs


@dataclass(frozen=True, kw_only=True)
class WandbTracker(TrackerConfig):
    """Weights & Biases."""

    name: ClassVar[str] = "wandb"
    project: str
    entity: str | None  # null: the user's own
    mode: str = option(choices=("online", "offline"))


@dataclass(frozen=True, kw_only=True)
class MLflowTracker(TrackerConfig):
    """An MLflow tracking server or store."""

    name: ClassVar[str] = "mlflow"
    uri: str | None  # null: MLFLOW_TRACKING_URI, else a database beside the runs
    experiment: str

    def __post_init__(self) -> None:
        if self.uri is not None and urlsplit(self.uri).password:
            raise InputError(
                "tracker.uri holds a password, which others can read off the command line: give MLflow the names "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or the whole address as MLFLOW_TRACKING_URI."
            )


@dataclass(frozen=True, kw_only=True)
class TrackioTracker(TrackerConfig):
    """trackio's local store."""

    name: ClassVar[str] = "trackio"
    project: str


Tracker = NoTracker | TensorBoardTracker | WandbTracker | MLflowTracker | TrackioTracker


@dataclass(frozen=True, kw_only=True)
class Tracking:
    """The one group of these settings, so that its options are named `tracker.project`."""

    tracker: Tracker
