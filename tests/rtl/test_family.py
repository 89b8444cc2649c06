"""Prefill and decode of a small model: memory equals the machine model's, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.rtl.programs import NANO, Pair
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.codegen import Build, compile_model
from alula.quant import QuantizedModel
from alula.rtl.device import Outcome, Timing

PROMPT = [int(token) for token in np.random.default_rng(7).integers(0, 160, 11)]


def run(pair: Pair, build: Build, ids: list[int], position: int) -> Outcome:
    """Run prefill, for one token decode, on both, and compare their memories."""
    chunk = NANO.prefill_chunk
    start = build.image.regions["ids"].start
    for index, first in enumerate(range(0, len(ids), chunk)):
        place = start + index * build.row_beats["ids"]
        pair.write(place, np.array(ids[first : first + chunk], np.uint32))
    program = build.decode if len(ids) == 1 else build.prefill
    values = {"position": position, "tokens": len(ids), "head_rows": 1, "logits": 1}
    values |= {"embed": 1, "first_layer": 0, "layers": build.architecture.layers, "hidden_out": 1}
    return pair.run(program, values).outcome


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    both = Pair(Timing(stalls=20, seed=3))
    yield both
    both.device.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_prefill_and_decode(pair: Pair, family: str) -> None:
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES[family])), NANO, 96)
    pair.load(build.image)
    position, ids = 0, PROMPT
    for _ in range(2):
        run(pair, build, ids, position)
        position += len(ids)
        result = build.image.regions["result"].start
        ids = [int(pair.device.read(result, 4).view(np.uint32)[0])]
