"""Keys and values that move under the prefill: what is waited for, in closed form."""

from typing import Any

import numpy as np
import pytest

from alula.ir.shapes import SHAPES
from alula.runtime.planning.devices import Devices
from alula.runtime.planning.handover import Backlog
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.planner import planner
from alula.runtime.planning.work import work_of

MODEL = "smollm2-135m"
LAYERS = SHAPES[MODEL].layers
LAYER_S = 0.01
"""Seconds of a layer on the first device, for the whole prompt."""
BYTES = work_of(MODEL, SHAPES[MODEL]).units[1].kv_bytes("fp16")


def planned(kind: str, prompt: int, move_s: float, **more: Any) -> Plan:
    """Prefill on one device and decode on the other; a layer's keys and values take `move_s`."""

    def profile(layer: float) -> dict[str, Any]:
        points = [
            {"phase": phase, "unit": unit, "length": length, "seconds": seconds}
            for unit, seconds in (("embed", 1e-12), ("layer", layer), ("head", 1e-12))
            for phase, length in (("prefill", prompt), ("decode", prompt))
        ]
        return {"model": MODEL, "source": "published", "points": points}

    devices = Devices.from_mapping(
        {
            "name": "two",
            "devices": {
                "one": {"kind": kind, "profile": profile(LAYER_S)},
                "other": {"kind": "cpu", "profile": profile(1.0)},
            },
            "links": [
                {"between": ["one", "other"], "bandwidth_gbs": prompt * BYTES / move_s / 1e9}
            ],
            **more,
        },
        "two",
    )
    pin = "prefill:*=one,decode:*=other"
    return planner(MODEL, devices, prompt=prompt, new=1, pin=pin, least_gain=0.0).plan()


@pytest.mark.parametrize("move_s", [0.001, 0.01, 0.011, 0.03])
def test_layer_by_layer_under_one_piece(move_s: float) -> None:
    """The last layer's are left, or, where moving is slower, all that the others did not cover."""
    told = planned("cpu", 256, move_s)
    expected = max(move_s, LAYERS * move_s - (LAYERS - 1) * LAYER_S)
    assert told.price.waited == pytest.approx(expected)
    assert told.price.moved == pytest.approx(LAYERS * move_s)
    assert told.total_s == pytest.approx(told.prefill_s + told.decode_s + told.transfer_s)
    hidden = told.price.hidden["decode"] + told.price.hidden["prefill"] + told.price.ids
    assert told.transfer_s == pytest.approx(hidden + expected)


@pytest.mark.parametrize("move_s", [0.001, 0.01, 0.011, 0.03])
@pytest.mark.parametrize("pieces", [2, 5])
def test_layer_by_layer_under_several_pieces(move_s: float, pieces: int) -> None:
    """Where moving is quicker the last layer of the last piece is left, a part of the whole.

    Where it is slower it never pauses from the end of the first piece's first layer on.
    """
    told = planned("cpu", 256 * pieces, move_s)
    if move_s <= LAYER_S:
        expected = move_s / pieces
    else:
        expected = LAYERS * (move_s - LAYER_S) + LAYER_S / pieces
    assert told.price.waited == pytest.approx(expected)


@pytest.mark.parametrize("move_s", [0.001, 0.03])
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_gpu_hands_out_a_whole_segment(move_s: float, pieces: int) -> None:
    """Of a piece nothing moves before it is over, but what the pieces before it left does."""
    told = planned("gpu", 256 * pieces, move_s)
    moved, computed = LAYERS * move_s, LAYERS * LAYER_S
    expected = moved / pieces + max(0.0, moved - computed) * (pieces - 1) / pieces
    assert told.price.waited == pytest.approx(expected)


def test_an_accelerator_does_one_thing_at_a_time() -> None:
    told = planned("accelerator", 1024, 0.001)
    assert told.price.waited == pytest.approx(told.price.moved)
    assert "under the prompt" not in str(told)


def test_whole_they_are_priced_between_the_phases() -> None:
    told = planned("cpu", 512, 0.001, handover="whole")
    assert told.price.waited == told.price.moved == pytest.approx(LAYERS * 0.001)
    streamed = planned("cpu", 512, 0.001)
    assert streamed.total_s < told.total_s
    line = "keys and values take 0.03 s, 0.0295 s of it under the prompt"
    assert line in str(streamed)


def test_whoever_has_less_to_move_waits_less() -> None:
    """What `Backlog.outlooks` promises, with the same units drawn to follow."""
    draw = np.random.default_rng(3)
    for pieces in (1, 2, 4):
        backlog = Backlog(*draw.uniform(0, 2, (3, 200)) - [[1], [0], [0]])
        before = backlog.outlooks(pieces)
        for _ in range(6):
            begins, by_layer = draw.random(2) < 0.5
            backlog = backlog.after(
                begins=np.full(200, begins),
                covered=np.full(200, draw.uniform(0, 1)),
                moved=np.full(200, draw.uniform(0, 1)),
                by_layer=np.full(200, by_layer),
            )
        waited = backlog.waited(pieces)
        less = (before[:, None] <= before[None]).all(axis=-1)
        assert less.sum() > 200
        one, other = np.nonzero(less)
        assert (waited[one] <= waited[other] + 1e-12).all()
