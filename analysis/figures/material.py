"""What the figures of a family are drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from diffmem.records import SampleSheet

from ..times.family import quality_read


@dataclass(frozen=True, kw_only=True)
class Material:
    """`rows` is the family's table, `times` one row a run, `laws` and `collapse` the contents of their json files.

    `collapse` and `diagram` (phases and their boundary) are None where there is none. `sheets` are the samples to show,
    `window` the same ones of one run at its three times.
    """

    rows: pd.DataFrame
    times: pd.DataFrame
    laws: Mapping[str, Mapping[str, Any]]
    collapse: Mapping[str, Any] | None = None
    diagram: tuple[pd.DataFrame, pd.DataFrame] | None = None
    sheets: Sequence[SampleSheet] = ()
    window: Sequence[SampleSheet] = ()

    @property
    def quality(self) -> str | None:
        """The measure of quality that the times were read off; None where the table of times does not say."""
        return quality_read(self.times)
