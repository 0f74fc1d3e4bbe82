"""From the settings of `diffmem theory` to the model that they choose."""

from diffmem.config.data import Data
from diffmem.config.theory import TheoryConfig
from diffmem.data import load, outside_test
from diffmem.data.dataset import channel_mean, scale_of
from diffmem.theory.covariance import Covariance, covariance, of_data, power_law
from diffmem.theory.model import Model

IMAGES = 16384  # of a data set, outside its test split, whose covariance is taken


def chosen_model(config: TheoryConfig) -> Model:
    """The model of the settings, with the covariance that they name."""
    return _model(config, _covariance(config))


def model_of_data(config: TheoryConfig) -> Model:
    """The model of the settings on the covariance of their data set."""
    return _model(config, _covariance_of_images(config.data))


def _model(config: TheoryConfig, sigma: Covariance) -> Model:
    return Model(config.psi_p, config.psi_n, config.t, config.activation, sigma)


def _covariance(config: TheoryConfig) -> Covariance:
    match config.covariance:
        case "levels":
            return covariance((config.eigenvalues, config.weights))
        case "power_law":
            return power_law(config.exponent, config.count)
        case "data":
            return _covariance_of_images(config.data)
    return covariance(None)


def _covariance_of_images(data: Data) -> Covariance:
    images = outside_test(load(data), IMAGES)
    centred = images - channel_mean(images)
    return of_data(images.flatten(1).double().numpy() * scale_of(centred, data))
