"""How times scale with the width of the network: the arms together are one family over W, and τ W and τ W/n the axes.

A key is `TIME.alpha` or `TIME.beta`, the exponents of n and W of tau_gen, tau_bias or tau_mem.
"""

from ..figures.curves import curves
from ..figures.files import Picture
from ..figures.width_scaling import width_scaling
from ..laws.family import laws
from ..times.family import family_times, quality_read
from .joined import joined
from .laws import of_law, setting_words
from .reading import Reading, Request


def read(request: Request) -> Reading:
    """The reader `widths`."""
    family = joined(request.places)
    times = family_times(family)
    fitted, setting = laws(times), setting_words(family)
    found = {key: of_law(fitted[key.split(".")[0]], key.split(".")[1], setting) for key in request.keys}
    quality = quality_read(times)
    return Reading(found, Picture(width_scaling(family.rows, times, quality), curves(family.rows, quality)))
