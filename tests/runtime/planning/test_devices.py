"""Files of devices: what they refuse, and the ways through their links."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alula.design.error import DesignError
from alula.design.shipped import shipped_devices
from alula.runtime.planning.devices import Devices, load_devices
from alula.runtime.planning.routes import routes, slowed

PAIR: dict[str, Any] = {
    "name": "pair",
    "devices": {
        "gpu": {"kind": "gpu", "peak_tops": {"fp16": 10}, "bandwidth_gbs": 100},
        "cpu": {"kind": "cpu", "peak_tops": {"fp16": 1}, "bandwidth_gbs": 10},
    },
    "links": [{"between": ["gpu", "cpu"], "bandwidth_gbs": 12, "latency_us": 5}],
}
POINT = {"phase": "prefill", "length": 8, "seconds": 1}


def edited(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    values = copy.deepcopy(PAIR)
    change(values)
    return values


@pytest.mark.parametrize("name", shipped_devices())
def test_shipped_files_load(name: str) -> None:
    assert load_devices(name).name == name


BAD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing link": (
        lambda v: v["links"].pop(),
        "must be links that join gpu to every device, not none to cpu (f: links)",
    ),
    "cycle": (
        lambda v: v["links"].append({"between": ["cpu", "gpu"], "bandwidth_gbs": 1}),
        "must be links without a cycle, not cpu - gpu (f: links.1.between)",
    ),
    "link to itself": (
        lambda v: v["links"].append({"between": ["cpu", "cpu"], "bandwidth_gbs": 1}),
        "must be links without a cycle, not cpu - cpu (f: links.1.between)",
    ),
    "unknown device": (
        lambda v: v["links"][0].update(between=["gpu", "cpus"]),
        "must be two of gpu and cpu, not cpus; did you mean cpu? (f: links.0.between)",
    ),
    "zero bandwidth of a link": (
        lambda v: v["links"][0].update(bandwidth_gbs=0),
        "must be above 0, not 0 (f: links.0.bandwidth_gbs)",
    ),
    "zero bandwidth": (
        lambda v: v["devices"]["gpu"].update(bandwidth_gbs=0),
        "must be above 0, not 0 (f: devices.gpu.bandwidth_gbs)",
    ),
    "a number that is hardly one": (
        lambda v: v["links"][0].update(bandwidth_gbs=1e-320),
        "must be at least 1e-12, not 1e-320 (f: links.0.bandwidth_gbs)",
    ),
    "a number beyond all": (
        lambda v: v["devices"]["gpu"].update(busy_w=1e308),
        "must be at most 1e12, not 1e+308 (f: devices.gpu.busy_w)",
    ),
    "text for a number": (
        lambda v: v["devices"]["gpu"].update(bandwidth_gbs="fast"),
        "must be a number, not 'fast' (f: devices.gpu.bandwidth_gbs)",
    ),
    "no bandwidth": (
        lambda v: v["devices"]["gpu"].pop("bandwidth_gbs"),
        ("must be given for the estimator roofline, not missing (f: devices.gpu.bandwidth_gbs)"),
    ),
    "no peak of its format": (
        lambda v: v["devices"]["gpu"].update(format="q4_0", peak_tops={"fp32": 1}),
        ("must be given for fp16, as which it multiplies, not fp32 (f: devices.gpu.peak_tops)"),
    ),
    "a design of a GPU": (
        lambda v: v["devices"]["gpu"].update(design="kv260"),
        ("must be left out, except of an accelerator, not 'kv260' (f: devices.gpu.design)"),
    ),
    "unknown target": (
        lambda v: v["devices"]["gpu"].update(target="cuda"),
        (
            "must be accel, torch:cuda or another target of a map, not 'cuda'"
            " (f: devices.gpu.target)"
        ),
    ),
    "target of another kind": (
        lambda v: v["devices"]["gpu"].update(target="accel"),
        (
            "must be accel for an accelerator and for nothing else, not 'accel'"
            " (f: devices.gpu.target)"
        ),
    ),
    "unknown key in a profile": (
        lambda v: v["devices"]["gpu"].update(
            profile={"model": "m", "source": "measured", "points": [{**POINT, "lenght": 3}]}
        ),
        (
            "must be one of the keys phase, unit, length, seconds or spread, not 'lenght'"
            " (f: devices.gpu.profile.points.0.lenght)"
        ),
    ),
    "no devices": (
        lambda v: v.update(devices={}, links=[]),
        "must be at least 1 long, not a mapping (f: devices)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_refusals(name: str) -> None:
    change, words = BAD[name]
    with pytest.raises(DesignError) as caught:
        Devices.from_mapping(edited(change), "f")
    assert str(caught.value) == words


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"did you mean lab\?"):
        load_devices(tmp_path / "lab.yml")


def test_bytes_pass_through_what_lies_between() -> None:
    def chain(values: dict[str, Any]) -> None:
        values["devices"]["card"] = copy.deepcopy(values["devices"]["cpu"])
        values["links"].append({"between": ["cpu", "card"], "bandwidth_gbs": 3, "latency_us": 7})

    devices = Devices.from_mapping(edited(chain), "f")
    ways = routes(devices)
    assert ways["gpu", "gpu"].seconds(1e9) == 0
    assert ways["gpu", "card"].seconds(12e9, pieces=2) == pytest.approx(1 + 4 + 2 * 12e-6)
    assert ways["card", "gpu"].seconds(12e9) == pytest.approx(5 + 12e-6)
    slow = routes(slowed(devices, 10))
    assert slow["gpu", "cpu"].seconds(12e9) == pytest.approx(10 + 50e-6)
