"""A plain diffusers training script with three lines of diffmem: it stops when the model begins to copy its images.

    python examples/train_diffusers.py --n 32 --steps 4000 --csv curve.csv
    diffmem fit curve.csv

Trains a small UNet2DModel on n images of handwritten digits (they ship with scikit-learn). The lines marked with an
arrow are all that a script of yours needs.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline, DDIMScheduler, DDPMScheduler, UNet2DModel
from sklearn.datasets import load_digits

from diffmem import MemorizationMonitor  # <--


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=32, help="training images")
    parser.add_argument("--steps", type=int, default=4000, help="optimizer steps, at most")
    parser.add_argument("--every", type=int, default=250, help="steps between two looks")
    parser.add_argument("--samples", type=int, default=200, help="samples at each look")
    parser.add_argument("--csv", type=Path, default=Path("curve.csv"), help="where the curve goes")
    args = parser.parse_args(arguments)

    torch.manual_seed(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1  # [1797, 1, 8, 8] in [-1, 1]
    train, heldout = images[: args.n], images[-500:]
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        add_attention=False,
    )
    schedule = DDPMScheduler(clip_sample=False)
    optimizer = torch.optim.Adam(unet.parameters(), lr=2e-3)
    pipeline = DDIMPipeline(unet, DDIMScheduler.from_config(schedule.config, timestep_spacing="trailing"))
    pipeline.set_progress_bar_config(disable=True)
    monitor = MemorizationMonitor(train, heldout, samples=args.samples, csv=args.csv, run="digits", width=16)  # <--

    for step in range(1, args.steps + 1):
        clean = train[torch.randint(args.n, (min(64, args.n),))]
        noise = torch.randn_like(clean)
        t = torch.randint(1000, (len(clean),))
        loss = F.mse_loss(unet(schedule.add_noise(clean, noise, t), t).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % args.every == 0:
            reading = monitor(step, pipeline)  # <--
            print(reading, flush=True)
            if reading.stop:
                print(f"stopped at step {step}: the model has begun to memorize")
                break


if __name__ == "__main__":
    main()
