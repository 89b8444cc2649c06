"""Where the instructions that append to a KV cache put their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from alula.model.kernels.weights import k_places, t_places

__all__ = ["kv_places"]


def kv_places(width: int, lane: int, values: Mapping[str, Any]) -> np.ndarray:
    """Bytes of memory that ST.K or ST.T writes, by its fields.

    int64 [row of a token and head, its values and the two bytes of its scale]; `width` bytes of a
    beat, `lane` of a channel's part of it.
    """
    addr, stride = (values[name] * width for name in ("addr", "stride"))
    sizes = (values["position"], values["rows"], values["heads"], values["groups"])
    if "pitch" not in values:
        return k_places(width, lane, addr, stride, *sizes)
    rest = (values[name] * width for name in ("pitch", "scales"))
    return t_places(width, lane, addr, stride, *sizes, *rest)
