"""One run after another, in this process."""

from concurrent.futures import Future

from diffmem.config.settings import Config, HereExecutor
from diffmem.training.session import Outcome, execute, plan
from diffmem.training.signals import Interrupted


class Here:
    """`submit` returns when the run is over. After an interrupt nothing more is started."""

    def __init__(self, config: HereExecutor) -> None:
        self._left = False

    def submit(self, config: Config) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        if self._left:
            future.cancel()
            return future
        try:
            outcome = execute(plan(config))
            self._left = outcome.status == "interrupted"
            future.set_result(outcome)
        except Interrupted:
            self._left = True
            future.cancel()
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self, *, cancel: bool = False) -> None:
        self._left = self._left or cancel
