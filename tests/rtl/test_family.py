"""Prefill and decode of a small model: memory equals the machine model's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.rtl.programs import NANO, Pair
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import compile_model
from alula.quant import QuantizedModel
from alula.rtl.device import Timing

PROMPT = [int(token) for token in np.random.default_rng(7).integers(0, 160, 11)]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    both = Pair(Timing(stalls=20, seed=3))
    yield both
    both.device.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_and_decode(pair: Pair, family: str) -> None:
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES[family])), NANO, 96)
    pair.prefill_and_decode(build, PROMPT)
