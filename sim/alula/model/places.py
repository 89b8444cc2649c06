"""Where the ranges of an instruction's effects lie, place by place."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alula.isa.effects import Range

Known = Mapping[str, Any]
"""The instruction's fields as numbers, and the machine's sizes."""


def words(one: Range, known: Known) -> np.ndarray:
    """Words of the vector buffer, int64 [row, word]."""
    first = one.first(known) + np.arange(one.rows(known)) * one.stride(known)
    return first[:, None] + np.arange(one.count(known))


def slots(one: Range, known: Known) -> np.ndarray:
    """Slots of the activation buffer, `T` of each group, int64 [row, group]."""
    groups, tokens = one.count(known), known["T"]
    row = (one.skip(known) + np.arange(one.rows(known)))[:, None]
    group = one.first(known) + row // tokens * groups + np.arange(groups)
    return group * tokens + row % tokens


def staging_rows(one: Range, known: Known) -> np.ndarray:
    """Rows of staging, int64 [row]."""
    return one.first(known) + np.arange(one.rows(known))


def memory_bytes(one: Range, known: Known) -> np.ndarray:
    """Bytes of memory, int64 [row, byte]."""
    first = one.first(known) + np.arange(one.rows(known))[:, None] * one.stride(known)
    return first * known["B"] + one.skip(known) + np.arange(one.count(known))
