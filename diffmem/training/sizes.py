"""Bytes of the files that a run writes, from shapes alone: nothing is written, and no weight is held.

The safetensors files are as long as those that are written. The text beside them is about as long: what a checkpoint
says of its model, schedule and checksums, and what a run says of its settings and machine.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from diffmem.config.model import ModelConfig
from diffmem.config.settings import Config, Optimizer
from diffmem.models.io import saved_part
from diffmem.training import average, lora
from diffmem.training.flops import skeleton
from diffmem.training.initial import in_training, make_optimizer, trained

MODEL_TEXT = 1750  # config.json, scheduler_config.json and the checksums of one saved model
RUN_TEXT = 2600  # config.yaml, meta.json without bookends, status.json, resume.json
TIMING_TEXT = 26  # a line of timing.csv
POINTS = 2  # resume points that are kept


@dataclass(frozen=True)
class Sizes:
    """Bytes of each file of a run."""

    checkpoint: int
    samples: int
    resume: int  # one of POINTS


def sizes(config: Config) -> Sizes:
    """The bytes of each checkpoint, its samples, and a resume point of a run of `config`."""
    averages = average.names(config.train)
    samples = safetensors_bytes(_samples(config)) if config.can_sample else 0
    kept = (averages, config.train.lora_rank)
    weights, resume = _of_network(config.model, config.data.shape, config.optimizer, *kept)
    return Sizes(weights * (1 + len(averages)), samples, resume)


@lru_cache(maxsize=1024)
def _of_network(
    model: ModelConfig, shape: tuple[int, ...], optimizer: Optimizer, averages: tuple[str, ...], rank: int | None
) -> tuple[int, int]:
    """Bytes of one saved model, and of a resume point."""
    network = skeleton(model, shape)
    weights = safetensors_bytes(saved_part(network).state_dict(), {"format": "pt"}) + MODEL_TEXT
    network = in_training(network, model)
    if rank is not None:
        lora.inject(network, rank)
    return weights, safetensors_bytes(_resume(network, optimizer, averages))


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> int:
    """Length of the safetensors file of `tensors`: 8 bytes, a JSON header filled up to a multiple of 8, the values."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        begin, end = end, end + tensor.numel() * tensor.itemsize
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    return 8 + 8 * math.ceil(len(json.dumps(header, separators=(",", ":"))) / 8) + end


def _samples(config: Config) -> dict[str, Tensor]:
    """What `Evaluator` gives to be stored of one checkpoint."""
    settings, kept = config.eval, min(config.eval.keep_samples, config.eval.samples)
    arrays = {name: torch.empty(settings.samples, dtype=torch.float64, device="meta") for name in ("d1", "d2", "own")}
    arrays |= {name: torch.empty(settings.samples, dtype=torch.int64, device="meta") for name in ("i1", "i2")}
    if config.classes is not None and config.sampler.guidance:
        arrays["labels"] = torch.empty(settings.samples, dtype=torch.int64, device="meta")
    return arrays | {"images": torch.empty(kept, *config.data.shape, device="meta")}


def _resume(network: nn.Module, optimizer: Optimizer, averages: tuple[str, ...]) -> dict[str, Tensor]:
    """What `snapshot.to_bytes` stores of a state of `network`."""
    tensors = {f"model.{name}": value for name, value in network.state_dict().items()}
    moments = _moments(optimizer)
    for index, weight in enumerate(trained(network)):
        tensors |= {f"optimizer.{index}.{name}": weight if like else value for name, (like, value) in moments.items()}
    for one in averages:
        tensors |= {f"{one}.{name}": weight for name, weight in network.named_parameters() if weight.requires_grad}
    return tensors


def _moments(config: Optimizer) -> dict[str, tuple[bool, Tensor]]:
    """What this optimizer keeps of a weight: name -> (whether it has the weight's shape, the tensor), from one step."""
    one = nn.Linear(1, 1, bias=False)
    optimizer = make_optimizer(one, config)
    one.weight.grad = torch.zeros_like(one.weight)
    optimizer.step()
    kept = optimizer.state_dict()["state"].get(0, {})
    return {name: (value.shape == one.weight.shape, value) for name, value in kept.items() if value is not None}
