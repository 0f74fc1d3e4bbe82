"""P8: a step of K runs trained together against their K steps one after another, on one core.

    python -m benchmarks.pack [--runs 8 32] [--reference DIR] [--repeats 7] [--json FILE]

Both sides are what `diffmem train` takes: the draws, the pass, the optimizer and the flags of each run. Seconds are of
one step of one run. The two end in the same weights up to rounding, which is what the note says: the largest difference
after the turns, over the distance that the weights have gone.

With a checkout of the study's code in DIR, the mixture is also set beside the step of its script for it, `run_GMM.py`:
its network, data, loader, optimizer and `train_one_batch`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks import study
from benchmarks.turns import Found, Row, options, show, timed
from diffmem.config.compose import compose
from diffmem.config.settings import Config
from diffmem.diffusion.process import Process
from diffmem.training import machine
from diffmem.training.initial import State, initial_state
from diffmem.training.kernels import Kernels
from diffmem.training.pack import Member, Pack
from diffmem.training.step import Inputs, prepare

CASES = {
    "mixture MLP, B = 32": ["experiment=mixture", "data.n=1024", "train.batch=32"],
    "mixture MLP, B = 512": ["experiment=mixture", "data.n=1024"],
    "unet_tiny, 8x8, B = 4": ["data=digits", "data.n=64", "model=unet_tiny", "train.batch=4"],
    "unet_tiny, 8x8, B = 32": ["data=digits", "data.n=64", "model=unet_tiny", "train.batch=32"],
}
CPU = torch.device("cpu")
STEPS = 2  # of each run in a turn
COUNTS = (8, 32)  # K


def runs(config: Config, count: int) -> list[tuple[Config, State, Tensor, Process]]:
    """Seeds of `config` at their beginning, on images of noise."""
    found = []
    for seed in range(count):
        one = replace(config, seed=seed)
        images = torch.randn(config.data.n, *config.data.shape, generator=torch.Generator().manual_seed(seed))
        found.append((one, initial_state(one, CPU), images, Process.from_config(config.diffusion)))
        found[-1][1].model.train()
    return found


def together(config: Config, count: int) -> tuple[Callable[[], None], list[State]]:
    members = [Member(state, Inputs(images, process, one), one) for one, state, images, process in runs(config, count)]
    pack = Pack(members)

    def take() -> None:
        for _ in range(STEPS):
            pack.step()
            for member in members:
                member.state.step += 1

    return take, [member.state for member in members]


def apart(config: Config, count: int) -> tuple[Callable[[], None], list[State]]:
    made = [
        (state, prepare(state, images, process, one, Kernels())) for one, state, images, process in runs(config, count)
    ]

    def take() -> None:
        for state, step in made:
            for _ in range(STEPS):
                step(state.step)
                state.step += 1

    return take, [state for state, _ in made]


def compare(name: str, words: list[str], count: int, repeats: int) -> Row:
    config = compose([*words, "device=cpu"])
    (ours, packed), (theirs, alone) = together(config, count), apart(config, count)
    row = timed(f"{name}: K = {count} together, one by one", ours, theirs, repeats)
    start, one, other = initial_state(replace(config, seed=0), CPU).model, alone[0].model, packed[0].model
    weights = ([weight.detach() for weight in model.parameters()] for model in (start, one, other))
    pairs = list(zip(*weights, strict=True))
    gone = max(float((mine - begun).abs().max()) for begun, mine, _ in pairs)
    off = max(float((mine - its).abs().max()) for _, mine, its in pairs)
    scale = count * STEPS
    note = f"differ by {off / gone:.1e} after {alone[0].step} steps"
    return replace(row, ours=row.ours / scale, theirs=row.theirs / scale, note=note)


def their_step(folder: Path, config: Config) -> Callable[[], None]:
    """STEPS of the study's mixture script."""
    diffusion, networks, mixture = study.modules(folder, "Diffusion", "TinyModels", "GMM_data_scores")
    (d,) = config.data.shape
    model = networks.SimpleTimeModel(d=d, d_model=config.model.width)
    settings = diffusion.TrainingConfig()
    settings.DEVICE, settings.TIMESTEPS, settings.IMG_SHAPE, settings.mode = "cpu", config.diffusion.T, (1, d), "normal"
    process = diffusion.DiffusionConfig(n_steps=config.diffusion.T, img_shape=(1, d), device="cpu")
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=config.optimizer.lr), nn.MSELoss()
    points, _ = mixture.generate_GMM(config.data.n, d, 1, 1, 0)
    loader = DataLoader(points.float(), batch_size=int(config.train.batch), shuffle=True)

    def batches() -> Iterator[Tensor]:
        while True:
            yield from loader

    stream = batches()

    def take() -> None:
        for _ in range(STEPS):
            diffusion.train_one_batch(next(stream), model, optimizer, loss, settings, process)

    return take


def beside_study(name: str, words: list[str], count: int, repeats: int, folder: Path | None) -> Found:
    case = f"{name}: K = {count} together, study's script"
    if folder is None:
        return study.without(case, "python -m benchmarks.pack")
    config = compose([*words, "device=cpu"])
    ours, _ = together(config, count)
    row = timed(case, ours, their_step(folder, config), repeats)
    here, there = row.ours / (count * STEPS), row.theirs / STEPS
    return replace(row, ours=here, theirs=there, ratio=there / here)


def rows(
    folder: Path | None, repeats: int, counts: Sequence[int] = COUNTS, cases: Sequence[str] = tuple(CASES)
) -> Iterator[Found]:
    for name in cases:
        for count in counts:
            yield compare(name, CASES[name], count, repeats)
        if name.startswith("mixture"):
            yield beside_study(name, CASES[name], counts[-1], repeats, folder)


def main() -> None:
    parser = options(__doc__, repeats=7)
    parser.add_argument("--reference", type=study.folder, help="checkout of the study's code")
    parser.add_argument("--runs", type=int, nargs="+", default=COUNTS, help="K")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    args = parser.parse_args()
    machine.set_threads(1)
    show(rows(args.reference, args.repeats, args.runs, args.cases), args.json)


if __name__ == "__main__":
    main()
