"""How long a model's units take on a torch device: measured, with spread, as a device's profile."""

import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from alula.design.error import DesignError
from alula.progress import Progress, silent
from alula.runtime.errors import RunError
from alula.runtime.loading import open_model, torch_worker
from alula.runtime.planning.devices import Devices
from alula.runtime.split import ACCEL, Segment, Target, parse_split
from alula.runtime.worker import Work, Worker

LENGTHS = (32, 128, 512)
_RUNS = 5
_NAME = {"cpu": "cpu", "cuda": "gpu"}


def calibrate(
    model: str | Path,
    target: str,
    lengths: Sequence[int] | None = None,
    *,
    progress: Progress = silent,
) -> Devices:
    """Return one device with the times of a model's embedding, layers and head.

    Each is the median of several runs after one that does not count, with half the distance between
    the quartiles. Layers are what the whole model takes without embedding and head, so that all
    units together take what was measured of the whole.

    Args:
        model: what `alula.runtime.load` takes.
        target: of torch, as a map names it, such as torch-bf16:cuda.
        lengths: tokens of a prompt, and tokens held before one that is decoded; by default
            `LENGTHS`, and for a GPU's fixed shapes both sides of every length up to the last of
            these at which steps change.
        progress: called with how many runs are done.

    Raises:
        RunError: the target is not torch's, a length cannot be, or the model cannot be found.
        FrontendError: the model cannot be read.
    """
    from alula.runtime.fixed_units import FixedUnits

    checkpoint = open_model(model, progress)
    shape = checkpoint.architecture
    (chosen,) = parse_split(f"*={target}", shape.units).targets
    if chosen == ACCEL:
        raise RunError("what is timed must be a target of torch, not accel")
    asked = checked_lengths(lengths, LENGTHS, shape.max_context - 1)
    worker = torch_worker(chosen, checkpoint, asked[-1] + 1)
    if lengths is None and isinstance(worker, FixedUnits):
        asked = sorted({*asked, *worker.edges(asked[-1])})
    points = []
    for number, length in enumerate(asked):
        progress("measuring", number, len(asked))
        for phase in ("prefill", "decode"):
            points += _points(worker, chosen, phase, length, shape.layers, shape.hidden_size)
    kind = _NAME.get(chosen.device.partition(":")[0], "gpu")
    device = {
        "kind": kind,
        "target": str(chosen),
        "format": {"int": "contract", "float": "fp32"}.get(
            chosen.kind.removeprefix("torch-"), chosen.kind.removeprefix("torch-")
        ),
        "profile": {
            "model": str(model),
            "source": "measured",
            "about": _about(chosen),
            "points": points,
        },
    }
    try:
        return Devices.from_mapping({"name": "calibrated", "devices": {kind: device}}, "calibrated")
    except DesignError as error:
        raise RunError(f"calibration failed: {error}") from None


def checked_lengths(asked: Sequence[int] | None, usual: Sequence[int], most: int) -> list[int]:
    """Return lengths in order, the usual ones if none are asked for. RunError if one cannot be."""
    found = sorted({min(one, most) for one in usual} if asked is None else set(asked))
    for length in found:
        if not 1 <= length <= most:
            raise RunError(f"a length must be 1 to {most}, not {length}")
    if len(found) < 2:
        raise RunError(f"there must be at least 2 lengths, not {len(found)}")
    return found


def _points(
    worker: Worker, target: Target, phase: str, length: int, layers: int, width: int
) -> list[dict[str, object]]:
    """Return the points of one phase and length."""
    count = length if phase == "prefill" else 1
    position = 0 if phase == "prefill" else length
    ids = np.arange(100, 100 + count, dtype=np.uint32) % 128
    hidden = np.full((count, width), 0.1, np.float32)
    every = range(layers)
    whole = _measured(worker, Segment(target, True, every, True), phase, ids, position)
    embed = _measured(worker, Segment(target, True, range(0), False), phase, ids, position)
    head = _measured(worker, Segment(target, False, range(0), True), phase, hidden, position)
    rest = max(whole[0] - embed[0] - head[0], 0.01 * whole[0]) / layers
    found = {"embed": embed, "layer": (rest, whole[1] / layers), "head": head}
    return [
        {
            "phase": phase,
            "unit": unit,
            "length": length,
            "seconds": seconds,
            "spread": spread,
        }
        for unit, (seconds, spread) in found.items()
    ]


def _measured(
    worker: Worker, segment: Segment, phase: str, source: np.ndarray, position: int
) -> tuple[float, float]:
    """Return median and spread of a segment's runs, seconds."""
    held = range(position) if position else ()
    if held and segment.layers:
        ids = np.arange(position, dtype=np.uint32) % 128
        worker.run(segment, Work("prefill", ids, 0, 1, False))
    work = Work("decode" if phase == "decode" else "prefill", source, position, 1, False)
    worker.run(segment, work)
    found = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        worker.run(segment, work)
        found.append(time.perf_counter() - start)
    low, middle, high = statistics.quantiles(found, n=4)
    return middle, (high - low) / 2


def _about(target: Target) -> str:
    """Return date, device and versions."""
    import platform
    from importlib.metadata import version

    name = platform.processor() or platform.machine()
    if target.device.startswith("cuda"):
        from alula.runtime.torch_units import device_name

        name = device_name(target.device)
    return f"{datetime.now(UTC).date()}, {name}, torch {version('torch')}, {_RUNS} runs each"
