"""The devices of this machine, with figures from a moment's measuring: enough for a roofline."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alula.runtime.planning.devices import Devices, load_devices
from alula.runtime.planning.errors import PlanError

_SIDE, _BYTES, _TIMES = 1024, 1 << 26, 3
_EFFICIENCY = 0.7
"""Of what one large product or copy reaches, what the units of a model do."""


def devices(
    source: str | Path | None = None,
    *,
    accel: str | None = None,
    gpu: str | bool = False,
    cpu: bool = False,
    link_gbs: float = 12.0,
) -> Devices:
    """Return devices: those of a file, or this machine's.

    A CPU's and a GPU's peak and bandwidth are those of one product and one copy, measured now; what
    is planned with them is estimated. `alula calibrate` measures a model's own times.

    Args:
        source: a file, or the name of one that ships; nothing else is then given.
        accel: the design of an accelerator, which this machine need not have.
        gpu: True: this machine's GPU; "auto": the same if there is one.
        cpu: whether the CPU is one of them.
        link_gbs: 10^9 bytes a second between devices.

    Raises:
        DesignError: there is no such file or design.
        PlanError: no device was asked for, or both a file and devices, or there is no GPU.
    """
    asked: dict[str, dict[str, Any]] = {}
    if source is not None:
        if accel or gpu or cpu:
            raise PlanError("devices must be those of a file or of this machine, not both")
        return load_devices(source)
    if cpu:
        asked["cpu"] = {"kind": "cpu", "target": "torch-fp32:cpu", **(figures("cpu") or {})}
    if gpu:
        found = figures("gpu")
        if found is None and gpu != "auto":
            raise PlanError("gpu must be one of this machine, not asked for where there is none")
        if found is not None:
            asked["gpu"] = {"kind": "gpu", "target": "torch-bf16:cuda", **found}
    if accel:
        asked["accel"] = {"kind": "accelerator", "target": "accel", "design": accel}
        asked["accel"]["format"] = "contract"
    if not asked:
        raise PlanError("devices must be at least one of a file, accel, gpu and cpu, not none")
    first, *rest = asked
    links = [{"between": [first, one], "bandwidth_gbs": link_gbs} for one in rest]
    values = {"name": "here", "devices": asked, "links": links, "crossing": "contract"}
    return Devices.from_mapping(values, "this machine")


def figures(kind: str) -> dict[str, Any] | None:
    """Return what a roofline needs of this machine's "cpu" or "gpu"; None if there is none."""
    return _cpu_figures() if kind == "cpu" else _gpu_figures()


def _cpu_figures() -> dict[str, Any]:
    one = np.ones((_SIDE, _SIDE), np.float32)
    block = np.ones(_BYTES, np.uint8)
    target = np.empty_like(block)
    return _figures("fp32", _best(lambda: one @ one), _best(lambda: np.copyto(target, block)))


def _gpu_figures() -> dict[str, Any] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    one = torch.ones((4 * _SIDE, 4 * _SIDE), dtype=torch.bfloat16, device="cuda")
    block = torch.ones(4 * _BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(block)

    def waited(work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    product = _best(waited(lambda: one @ one)) / 4**3
    copy = _best(waited(lambda: target.copy_(block))) / 4
    free, _ = torch.cuda.mem_get_info()
    return {**_figures("bf16", product, copy), "capacity_gib": free / 2**30, "launch_us": 20.0}


def _best(work: Callable[[], object]) -> float:
    """Return the seconds of the quickest of some runs, after one that does not count."""
    work()
    found = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def _figures(form: str, product: float, copy: float) -> dict[str, Any]:
    """Return a roofline's figures from the seconds of a product and of a copy."""
    return {
        "format": form,
        "peak_tops": {form: 2 * _SIDE**3 / product / 1e12},
        "bandwidth_gbs": 2 * _BYTES / copy / 1e9,
        "efficiency": _EFFICIENCY,
    }
