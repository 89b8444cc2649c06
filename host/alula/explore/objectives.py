"""What a sweep can be asked to make most or least of, and what its limits can be of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

from alula.design.error import listed


@dataclass(frozen=True)
class Objective:
    """A number of a row.

    Attributes:
        name: of the row's field, and in a sweep file.
        title: for people.
        unit: what it is counted in.
        best: whether more or less of it is better.
        phase: the run that it depends on; "" for what the design alone decides.
    """

    name: str
    title: str
    unit: str
    best: Literal["most", "least"]
    phase: Literal["prefill", "decode", ""] = ""

    @property
    def sign(self) -> float:
        """What makes less of it better."""
        return -1.0 if self.best == "most" else 1.0


OBJECTIVES = {
    one.name: one
    for one in (
        Objective("tokens_per_s", "tokens/s", "1/s", "most", "decode"),
        Objective("ttft_s", "time to first token", "s", "least", "prefill"),
        Objective("energy_j", "energy a token", "J", "least", "decode"),
        Objective("tokens_per_s_w", "tokens/s/W", "1/J", "most", "decode"),
        Objective("watts", "power", "W", "least", "decode"),
        Objective("bytes", "bytes a token", "B", "least", "decode"),
        Objective("perplexity", "perplexity", "", "least"),
        Objective("perplexity_ratio", "perplexity ratio", "", "least"),
        Objective("dsp", "DSP", "", "least"),
        Objective("lut", "LUT", "", "least"),
        Objective("ff", "FF", "", "least"),
        Objective("bram36", "BRAM36", "", "least"),
        Objective("uram", "URAM", "", "least"),
        Objective("mhz", "clock", "MHz", "most"),
    )
}
"""By name."""
OF_WEIGHTS = ("perplexity", "perplexity_ratio")
"""Those that only a measurement tells, of a model's weights."""
DIGITS = 3
"""Of a number that counts when points are compared: more of them is not known of any."""
RESOURCES = ("dsp", "lut", "ff", "bram36", "uram")
"""Those of which a part has so many."""


def _known(name: str) -> str:
    if name not in OBJECTIVES:
        raise PydanticKnownError("literal_error", {"expected": listed(list(OBJECTIVES))})
    return name


ObjectiveName = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": [*OBJECTIVES]}, mode="validation"),
]
"""A name of `OBJECTIVES`."""


def signed(values: ArrayLike, names: Sequence[str]) -> np.ndarray:
    """Return values of objectives, a row for each point, so that less is better in every column.

    They are rounded to `DIGITS`: points that differ in less are equal.
    """
    signs = [OBJECTIVES[name].sign for name in names]
    found = np.asarray(values, np.float64).reshape(-1, len(names)) * signs
    known = np.isfinite(found) & (found != 0)
    step = 10.0 ** (np.floor(np.log10(np.abs(np.where(known, found, 1.0)))) - (DIGITS - 1))
    return np.where(known, np.round(found / step) * step, found)
