"""The training loop, in plain sight: epsilon prediction on keyed batches (Ho, Jain, Abbeel 2020, Algorithm 1).

`train` yields the state at every step; who takes it decides what to do with it: evaluation, files and progress stand
outside. Every draw is keyed by (seed, purpose, step), so the state at a step depends on nothing but the settings: not
on who looked, nor on how often it was killed or resumed.
"""

from collections.abc import Iterator

from diffmem.training.initial import State
from diffmem.training.step import Step

CHECK_STEPS = 100  # between looks at whether the loss is finite


def train(state: State, step: Step) -> Iterator[State]:
    """Train `state` in place by the `step` prepared for it, without end: yields it as it comes and after every step.

    Raises Diverged within CHECK_STEPS of a loss that is not finite; who keeps a state asks `state.check()` first, and
    leaves the model in the mode it came in.
    """
    state.model.train()
    while True:
        yield state
        step(state.step)
        state.step += 1
        if state.step % CHECK_STEPS == 0:
            state.check()
