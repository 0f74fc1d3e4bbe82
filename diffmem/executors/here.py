"""One run after another, in this process: by whoever closes the executor."""

from diffmem.config.settings import Config
from diffmem.executors.slots import Slots
from diffmem.training.plan import Plan
from diffmem.training.session import Outcome, execute
from diffmem.training.signals import Interrupted


class _ThisProcess:
    def live(self, planned: Plan, place: object) -> Outcome:
        outcome = execute(planned)
        if outcome.status == "interrupted":
            raise Interrupted  # who asked this process to leave meant the sweep, not this run alone
        return outcome

    def leave(self) -> None:
        """The run that was under way has left already: it was interrupted where it stood."""


def start(config: Config) -> Slots:
    return Slots(_ThisProcess(), capacity=1, retries=0, threads=False)


def width(config: Config) -> tuple[int, int]:
    return 1, 1
