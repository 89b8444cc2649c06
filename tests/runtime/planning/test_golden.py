"""Published splits: what the planner makes of their papers' numbers."""

import math
from dataclasses import replace

import pytest

from alula.ir.shapes import SHAPES
from alula.runtime.planning.devices import Devices, load_devices
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.planner import planner
from alula.runtime.planning.routes import slowed
from alula.runtime.planning.work import ModelWork, UnitWork, work_of

FLIGHTLLM = [
    (128, 4.9696, {"gpu": 5.7446, "accel": 5.2363}, 0.245),
    (512, 5.3318, {"gpu": 5.9201, "accel": 6.4504}, 0.440),
]
"""Prompt, seconds of the split, of each device alone, and GB/s below which the split loses."""


@pytest.mark.parametrize(("prompt", "total", "alone", "least_gbs"), FLIGHTLLM)
def test_flightllm(prompt: int, total: float, alone: dict, least_gbs: float) -> None:
    """FlightLLM's demo (FPGA'24, arXiv 2401.03868), LLaMA2-7B: prefill on the GPU, decode beside.

    GPU 17.6 and 5727.0 ms, accelerator 289.9 and 4946.4 ms for 128 + 512 tokens; 40.4 and 5879.7,
    1181.4 and 5269.0 for 512 + 512. Its accelerator's times are simulated.
    """
    devices = load_devices("flightllm")

    def found(factor: float) -> Plan:
        return planner(
            "llama2-7b", slowed(devices, factor), prompt=prompt, new=512, least_gain=0.0
        ).plan()

    plan = found(1)
    assert plan.names == "prefill:*=gpu,decode:*=accel"
    assert plan.total_s == pytest.approx(total, abs=5e-5)
    assert plan.alternatives == pytest.approx(alone, abs=5e-5)
    # Of a prompt of 128 tokens 67 MB of keys and values cross, of one of 512 tokens 268 MB.
    assert plan.price.moved == pytest.approx(prompt * 524_288 / 12e9)
    # The published threshold has three digits, and is of the same two whole-phase placements.
    assert found(12 / (least_gbs * 1.01)).total_s < min(alone.values())
    assert planned_whole(devices, prompt, 12 / (least_gbs * 0.99)) > min(alone.values())


def planned_whole(devices: Devices, prompt: int, factor: float) -> float:
    """Seconds of prefill on the GPU and decode on the accelerator."""
    pinned = planner(
        "llama2-7b",
        slowed(devices, factor),
        prompt=prompt,
        new=512,
        pin="prefill:*=gpu,decode:*=accel",
        least_gain=0.0,
    )
    return pinned.plan().total_s


def mixtral() -> ModelWork:
    """Mixtral-8x7B: 46.7 B weights, of which a token reads 12.9 B; 32 layers."""
    shape = replace(SHAPES["llama3-8b"], vocab_size=32_000)
    base = work_of("mixtral-8x7b", shape)
    outside = sum(unit.stored for unit in base.units if unit.kind != "layer")
    read_outside = 32_000 * 4096
    layer = UnitWork(
        name="",
        kind="layer",
        stored=(46_700_000_000 - outside) // 32,
        read=(12_900_000_000 - read_outside) // 32,
        macs=(12_900_000_000 - read_outside) // 32,
        attended=2 * 4096,
        kv=2 * 1024,
    )
    units = tuple(
        replace(layer, name=unit.name) if unit.kind == "layer" else unit for unit in base.units
    )
    return ModelWork(
        name="mixtral-8x7b", units=units, hidden=4096, max_context=32_768, architecture=None
    )


def test_mixtral_on_a_cpu_and_a_small_gpu() -> None:
    """llama.cpp #5484: Mixtral-8x7B in FP16 on a Xeon E5-2683 v4 with 68.3 GB/s.

    2.32 tokens/s alone, 2.82 with a P40 of 24 GiB (346 GB/s); in proportion 2.90. The share of the
    bandwidth that the CPU gets follows from 2.32. The planner: 8 layers on the GPU, 2.95 tokens/s.
    """
    devices = Devices.from_mapping(
        {
            "name": "xeon",
            "devices": {
                "cpu": {
                    "kind": "cpu",
                    "peak_tops": {"fp16": 1},
                    "bandwidth_gbs": 68.3,
                    "efficiency": 2.32 * 25.8 / 68.3,
                },
                "gpu": {
                    "kind": "gpu",
                    "peak_tops": {"fp16": 12},
                    "bandwidth_gbs": 346,
                    "capacity_gib": 24,
                },
            },
            "links": [{"between": ["cpu", "gpu"], "bandwidth_gbs": 12}],
        },
        "xeon",
    )
    asked = planner("mixtral-8x7b", devices, prompt=1, new=128, work=mixtral())
    plan = asked.plan()
    alone = plan.alternatives
    assert alone["gpu"] is None
    assert alone["cpu"] is not None
    assert 128 / alone["cpu"] == pytest.approx(2.32, rel=0.02)
    decode = plan.in_phase("decode")
    assert sum(one.device == "gpu" for one in decode if one.unit.startswith("layers")) == 8
    assert 128 / plan.decode_s == pytest.approx(2.90, rel=0.02)
    assert 128 / plan.decode_s == pytest.approx(2.82, rel=0.05)
    (refusal,) = plan.refusals
    assert (refusal.device, refusal.limit) == ("gpu", "memory: 24 GiB")


def deepseek(active: int) -> ModelWork:
    """DeepSeek-V3 as two units: what is dense, and the experts of which some are active."""

    def unit(name: str, kind, stored: float, read: float) -> UnitWork:
        return UnitWork(name=name, kind=kind, stored=int(stored), read=int(read), macs=0)

    return ModelWork(
        name="deepseek-v3",
        units=(unit("embed", "embed", 17e9, 0), unit("layers.0", "layer", 654e9, active)),
        hidden=7168,
        max_context=4096,
    )


@pytest.mark.parametrize(
    ("active", "sockets", "published"), [(8, 1, 8.73), (6, 1, 10.30), (8, 2, 12.2), (6, 2, 13.7)]
)
def test_deepseek_on_sockets(active: int, sockets: int, published: float) -> None:
    """KTransformers: 44.6 ms a token and 8.74 ms an active expert; a second socket halves these.

    Experts do not fit the GPU, so they go to the CPU, at the published rate within 4%.
    """
    experts = 8.74e-3 * active / sockets

    def profile(dense: float, layer: float) -> dict:
        points = [
            {"phase": phase, "unit": unit, "length": length, "seconds": seconds}
            for unit, seconds in (("embed", dense), ("layer", layer))
            for phase, length in (("prefill", 1), ("decode", 64.5))
        ]
        return {"model": "deepseek-v3", "source": "published", "points": points}

    devices = Devices.from_mapping(
        {
            "name": "ktransformers",
            "devices": {
                "gpu": {
                    "kind": "gpu",
                    "format": "q4_0",
                    "capacity_gib": 24,
                    "profile": profile(44.6e-3, experts / 4),
                },
                "cpu": {"kind": "cpu", "format": "q4_0", "profile": profile(0.5, experts)},
            },
            "links": [{"between": ["gpu", "cpu"], "bandwidth_gbs": 25}],
        },
        "ktransformers",
    )
    plan = planner("deepseek-v3", devices, prompt=1, new=128, work=deepseek(active)).plan()
    assert plan.names == "layers.0=cpu,*=gpu" or plan.names == "embed=gpu,*=cpu"
    assert plan.alternatives["gpu"] is None
    assert 128 / (plan.decode_s + plan.price.hidden["decode"]) == pytest.approx(published, rel=0.04)


@pytest.mark.parametrize(
    ("layers", "rate"), [(18, 784.7), (19, 828.8), (20, 885.0), (21, 948.7), (22, 1019.9)]
)
def test_llama_cpp_prefill_by_layers(layers: int, rate: float) -> None:
    """llama.cpp #6083: llama-7B in Q4_0, a prompt of 1,024 with 18 to 22 layers on the GPU.

    A layer's times follow from the first and the last rate; those between are foretold within 2%.
    """
    saved = (1024 / 784.7 - 1024 / 1019.9) / 4
    gpu = (1024 / 784.7 - 14 * saved) / 32
    assert saved == pytest.approx(75e-3, rel=0.02)

    def profile(layer: float) -> dict:
        points = [
            {"phase": phase, "unit": unit, "length": length, "seconds": seconds}
            for unit, seconds in (("embed", 1e-9), ("layer", layer), ("head", 1e-9))
            for phase, length in (("prefill", 1024), ("decode", 1024))
        ]
        return {"model": "llama2-7b", "source": "published", "points": points}

    shape = work_of("llama2-7b", SHAPES["llama2-7b"])
    layer = shape.units[1].weight_bytes("q4_0") + 1025 * shape.units[1].kv_bytes("fp16")
    devices = Devices.from_mapping(
        {
            "name": "gpu-layers",
            "devices": {
                "gpu": {
                    "kind": "gpu",
                    "format": "q4_0",
                    "capacity_gib": (layers + 0.5) * layer / (1 << 30),
                    "profile": profile(gpu),
                },
                "cpu": {"kind": "cpu", "format": "q4_0", "profile": profile(gpu + saved)},
            },
            "links": [{"between": ["gpu", "cpu"], "bandwidth_gbs": 1000}],
        },
        "gpu-layers",
    )
    plan = planner("llama2-7b", devices, prompt=1024, new=1, objective="ttft").plan()
    placed = [one for one in plan.in_phase("prefill") if one.unit.startswith("layers")]
    assert sum(one.device == "gpu" for one in placed) == layers
    assert 1024 / plan.price.first_token_s == pytest.approx(rate, rel=0.02)


def test_prima_cpp_leaves_a_small_model_on_one_gpu() -> None:
    """prima.cpp: Llama3-8B in Q4 on four machines belongs on one GPU, all 32 layers, 15 ms a token.

    Machines of 2.4 GiB, 4.1 GiB with an 8 GiB GPU, 9.7 GiB with an 11 GiB GPU, and 1.9 GiB; the
    GPU's bandwidth is that of a 2080 Ti, of which the published 15 ms are a half.
    """

    def device(kind: str, gib: float, gbs: float) -> dict:
        return {
            "kind": kind,
            "format": "q4_0",
            "peak_tops": {"fp16": 10 if kind == "gpu" else 0.5},
            "bandwidth_gbs": gbs,
            "efficiency": 0.5,
            "capacity_gib": gib,
        }

    names = ["cpu1", "cpu2", "gpu2", "cpu3", "gpu3", "cpu4"]
    sizes = [("cpu", 2.4, 40), ("cpu", 4.1, 40), ("gpu", 8, 256), ("cpu", 9.7, 40)]
    sizes += [("gpu", 11, 616), ("cpu", 1.9, 30)]
    network = {"bandwidth_gbs": 0.1, "latency_us": 1000}
    devices = Devices.from_mapping(
        {
            "name": "home",
            "devices": {n: device(*size) for n, size in zip(names, sizes, strict=True)},
            "links": [
                {"between": ["cpu1", "cpu2"], **network},
                {"between": ["cpu1", "cpu3"], **network},
                {"between": ["cpu1", "cpu4"], **network},
                {"between": ["cpu2", "gpu2"], "bandwidth_gbs": 12},
                {"between": ["cpu3", "gpu3"], "bandwidth_gbs": 12},
            ],
        },
        "home",
    )
    plan = planner("llama3-8b", devices, prompt=64, new=64).plan()
    assert plan.names == "*=gpu3"
    assert plan.decode_s / 64 == pytest.approx(15e-3, rel=0.1)
    assert math.isclose(plan.transfer_s, 0)


EXO = {"spark": (1.47, 2.87), "mac": (5.57, 0.85)}
"""Seconds of prefill and of decode on each device alone."""


@pytest.mark.parametrize("handover", ["streamed", "whole"])
def test_exo_streams_keys_and_values_under_the_prefill(handover: str) -> None:
    """EXO 1.0 (blog.exolabs.net/nvidia-dgx-spark): Llama-3.1-8B in FP16, a prompt of 8,192 tokens.

    A DGX Spark alone 1.47 + 2.87 s, an M3 Ultra 5.57 + 0.85 s; both over 10 Gb/s Ethernet with keys
    and values layer by layer under the prefill 2.32 s. How many tokens were decoded is not told:
    here 32. The planner: the same split, 2.35 s, with 0.86 s of keys and values, of which the last
    piece's are waited for, 0.03 s; moved whole they would make it 3.18 s.
    """

    def profile(prefill: float, decode: float) -> dict:
        points = [
            {"phase": "prefill", "length": 8192, "seconds": prefill},
            {"phase": "decode", "length": 8192 + 31 / 2, "seconds": decode / 32},
        ]
        return {"model": "llama3-8b", "source": "published", "points": points}

    devices = Devices.from_mapping(
        {
            "name": "exo",
            "devices": {name: {"kind": "gpu", "profile": profile(*EXO[name])} for name in EXO},
            "links": [{"between": ["spark", "mac"], "bandwidth_gbs": 1.25}],
            "handover": handover,
        },
        "exo",
    )
    base = work_of("llama3-8b", SHAPES["llama3-8b"])
    long = replace(base, max_context=8192 + 32)
    plan = planner("llama3-8b", devices, prompt=8192, new=32, work=long).plan()
    assert plan.names == "prefill:*=spark,decode:*=mac"
    assert plan.alternatives == pytest.approx({"spark": 4.34, "mac": 6.42})
    assert plan.price.moved == pytest.approx(8192 * 131_072 / 1.25e9)
    if handover == "streamed":
        assert plan.total_s == pytest.approx(2.32, rel=0.02)
        assert plan.price.waited == pytest.approx(plan.price.moved / 32)
    else:
        assert plan.total_s == pytest.approx(2.32 + plan.price.moved, rel=0.001)


def test_llama_cpp_leaves_a_slow_gpu_alone() -> None:
    """llama.cpp #7244: Llama-2-7B in Q4_K_M, an 8-core i9 beside a Radeon Pro 5600M (Metal).

    Tokens/s of a prompt of 512 and of 128 that follow: 26.46 and 7.22 on the CPU alone, 4.61 and
    3.05 with 8 layers on the GPU, whose time a layer follows from that. The planner: no layer
    there, and what 8 would cost.
    """
    rates = {"prefill": (26.46, 4.61, 512), "decode": (7.22, 3.05, 1)}

    def profile(gpu: bool) -> dict:
        points = []
        for phase, (alone, split, tokens) in rates.items():
            layer = tokens / alone / 32
            layer += (tokens / split - tokens / alone) / 8 if gpu else 0.0
            length = 512 if phase == "prefill" else 512 + 127 / 2
            for unit, seconds in (("embed", 1e-9), ("layer", layer), ("head", 1e-9)):
                points.append({"phase": phase, "unit": unit, "length": length, "seconds": seconds})
        return {"model": "llama2-7b", "source": "published", "points": points}

    devices = Devices.from_mapping(
        {
            "name": "macbook",
            "devices": {
                "cpu": {"kind": "cpu", "format": "q4_0", "profile": profile(gpu=False)},
                "gpu": {"kind": "gpu", "format": "q4_0", "profile": profile(gpu=True)},
            },
            "links": [{"between": ["cpu", "gpu"], "bandwidth_gbs": 1000}],
        },
        "macbook",
    )
    alone = planner("llama2-7b", devices, prompt=512, new=128).plan()
    assert alone.names == "*=cpu"
    assert 512 / alone.prefill_s == pytest.approx(26.46)
    assert 128 / alone.decode_s == pytest.approx(7.22)
    pin = "layers.24-31=gpu,*=cpu"
    split = planner("llama2-7b", devices, prompt=512, new=128, pin=pin, least_gain=0.0).plan()
    assert 512 / (split.prefill_s + split.price.hidden["prefill"]) == pytest.approx(4.61, rel=0.01)
    assert 128 / (split.decode_s + split.price.hidden["decode"]) == pytest.approx(3.05, rel=0.01)
