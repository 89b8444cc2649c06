"""The weight format that an instruction names."""

from alula.isa import FORMATS, WEIGHT_FORMATS, WeightFormat
from alula.isa.formats import DENSE
from alula.model.errors import Unsupported
from alula.model.state import State


def weight_format(state: State, name: str, fmt: str, nm: str) -> WeightFormat:
    """The format of instruction `name`. Unsupported if the machine or the contract lacks it."""
    if nm != DENSE.name and not state.sparse:
        raise Unsupported(f"{name} nm must be dense on a design without mpe.sparse, not {nm}")
    if (fmt, nm) not in WEIGHT_FORMATS:
        names = ", ".join(item for item in FORMATS if (item, nm) in WEIGHT_FORMATS)
        raise Unsupported(f"{name} fmt must be one of {names} with nm={nm}, not {fmt}")
    return WEIGHT_FORMATS[fmt, nm]
