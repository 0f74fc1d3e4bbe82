"""Low-rank adapters: every linear and convolutional layer learns W + B A, with W fixed and B A of rank r.

A is drawn and B is 0, so the network begins as it is. Adapters are those of `peft`; a checkpoint holds W + B A, in the
names of the network without adapters.

Source: Hu et al. 2022, "LoRA: low-rank adaptation of large language models", section 4.1, with alpha = r.
"""

from torch import Tensor, nn

from diffmem.errors import InputError

BASE, ADAPTER = ".base_layer", "lora_"


def check() -> None:
    """Raise InputError where `peft` is not installed."""
    try:
        import peft  # noqa: F401 - seconds to import
    except ImportError as error:
        raise InputError("train.lora_rank needs peft: install it with pip install 'diffmem[peft]'.") from error


def inject(model: nn.Module, rank: int) -> None:
    """Put adapters of `rank` into `model`, in place, drawn from torch's global generator; nothing else is trained."""
    from peft import LoraConfig, inject_adapter_in_model

    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), model)


def merged(model: nn.Module) -> dict[str, Tensor]:
    """The weights W + B A of a network with adapters, in the names of the network without."""
    from peft.tuners.lora.layer import Conv2d, Linear

    weights = {name.replace(BASE, ""): weight for name, weight in model.state_dict().items() if ADAPTER not in name}
    for name, layer in model.named_modules():
        if isinstance(layer, (Conv2d, Linear)):
            (adapter,) = layer.active_adapters
            weights[f"{name}.weight"] = weights[f"{name}.weight"] + layer.get_delta_weight(adapter)
    return weights
