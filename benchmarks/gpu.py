"""What a GPU does: quick and exact modes, a calibration and its error, a split with an accelerator.

    python -m benchmarks.gpu MODEL --out gpu.json [--parts quick,exact,calibration,split,rtl]

Every part is measured in its own process and in steps: what fails leaves its reason, and what a
part has found before it fails or takes too long is kept. Times are the median of several runs, and
rates are compared within one run of this script. In `rtl` the device itself raises where gateware
and machine model differ; its simulator may take minutes to build. Needs CUDA, and transformers with
accelerate to read GGUF. With --device cpu every step is tried without a GPU; its figures are then
of no use.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

PROMPT, NEW = 128, 128
SHORT_PROMPT = 30
HELD_OUT = (20, 64, 100, 200, 300, 400)
IDS = [(7 * index * index + 11 * index) % 4000 + 100 for index in range(1024)]

Found = dict[str, Any]
Step = Callable[[str, Found], Any]
"""Something that is measured of a model, from what the steps before it found."""


def session(model: str, map: str, context: int) -> Any:
    from alula.runtime import load

    llm = load(model, map=map, context=context, design="kv260")
    # Without a tokenizer no token ends an answer early.
    llm.tokenizer = None
    return llm


def rates(llm: Any, prompt: int, new: int) -> dict[str, Any]:
    """Prefill seconds and decode tokens a second of a session, after a warm-up."""
    found = [llm.generate([number + 50, *IDS[1:prompt]], max_new_tokens=new) for number in range(5)]
    return {
        "prompt": prompt,
        "new": new,
        "first_prefill_s": found[0].prefill_s,
        "prefill_s": statistics.median(one.prefill_s for one in found[1:]),
        "decode_tokens_per_s": statistics.median(one.decode_tokens_per_s for one in found[1:]),
        "token_ids": found[-1].token_ids,
    }


def transformers_model(
    model: str, device: str, dtype: Any, *, compiled: bool
) -> Callable[[int], float]:
    """Return what gives the seconds of transformers' own generate of so many tokens."""
    from pathlib import Path

    import torch
    from transformers import AutoModelForCausalLM

    from alula.runtime.models import resolve

    place = Path(resolve(model))
    source = {"gguf_file": place.name} if place.is_file() else {}
    folder = place.parent if place.is_file() else place
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **source)
    loaded = loaded.to(device).eval()
    ids = torch.tensor([IDS[:PROMPT]], device=device)
    more = {"cache_implementation": "static"} if compiled else {}

    def run(count: int) -> float:
        start = time.perf_counter()
        loaded.generate(ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, **more)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return run


def transformers_generate(
    model: str, device: str, dtype: Any, *, compiled: bool, new: int = NEW
) -> dict[str, Any]:
    """Decode tokens a second of transformers' own generate."""
    run = transformers_model(model, device, dtype, compiled=compiled)
    for _ in range(3):
        run(new)
    whole = statistics.median(run(new) for _ in range(5))
    first = statistics.median(run(1) for _ in range(5))
    return {"prefill_s": first, "decode_tokens_per_s": (new - 1) / (whole - first)}


def their_rates(device: str) -> Step:
    """Return a step that measures transformers' generate in bf16, on CUDA with static cache."""

    def step(model: str, found: Found) -> dict[str, Any]:
        import torch

        return transformers_generate(model, device, torch.bfloat16, compiled=device == "cuda")

    return step


def their_cpu_rates(model: str, found: Found) -> dict[str, Any]:
    """Measure transformers' own generate on the CPU."""
    import torch

    return transformers_generate(model, "cpu", torch.float32, compiled=False, new=32)


def ratio(one: str, other: str, rate: str = "decode_tokens_per_s") -> Step:
    """Return a step that compares a rate of two others."""
    return lambda model, found: found[one][rate] / found[other][rate]


def measured(map: str, prompt: int, new: int) -> Step:
    """Return a step that runs a map."""
    return lambda model, found: rates(session(model, map, 512), prompt, new)


def equal_to_cpu(device: str) -> Step:
    """Return a step: are exact tokens a CPU's on the GPU, and as keys and values cross?"""

    def step(model: str, found: Found) -> dict[str, bool]:
        cpu, gpu = "torch-int:cpu:0", f"torch-int:{device}"
        maps = {"cpu": f"*={cpu}", "crossing": f"prefill:*={gpu},*={cpu}"}
        maps["back"] = f"prefill:*={cpu},*={gpu}"
        prompt = [54, *IDS[1:SHORT_PROMPT]]
        tokens = {
            name: session(model, map, 512).generate(prompt, max_new_tokens=8).token_ids
            for name, map in maps.items()
        }
        tokens["gpu"] = found["exact"]["token_ids"][:8]
        return {name: one == tokens["cpu"] for name, one in tokens.items()}

    return step


def calibrated(device: str, lengths: Sequence[int] | None = None) -> Step:
    """Return a step that makes a table of the GPU, as `alula calibrate` does."""

    def step(model: str, found: Found) -> dict[str, Any]:
        from alula.runtime.calibration import calibrate

        table = calibrate(model, f"torch-bf16:{device}", lengths)
        return table.model_dump(exclude_defaults=True)

    return step


def held_out(model: str, found: Found) -> dict[str, Any]:
    """What the table says of lengths between those that it has, of the whole model."""
    from alula.runtime.loading import open_model
    from alula.runtime.planning.profile import straight_line

    layers = open_model(model).architecture.layers
    table, held = (_whole(found[name], layers) for name in ("table", "again"))
    rows = []
    for (phase, length), seconds in held.items():
        known = sorted((one, table[phase, one]) for other, one in table if other == phase)
        if not known[0][0] <= length <= known[-1][0]:
            continue
        low = max(row for row in known if row[0] <= length)
        high = min(row for row in known if row[0] >= length)
        told = low[1] if low == high else straight_line(low, high, length)
        rows.append(
            {
                "phase": phase,
                "length": length,
                "predicted_s": told,
                "measured_s": seconds,
                "error": told / seconds - 1,
            }
        )
    return {"rows": rows, "largest_error": max(abs(row["error"]) for row in rows)}


def _whole(devices: dict[str, Any], layers: int) -> dict[tuple[str, float], float]:
    """Return seconds of the whole model by phase and length."""
    (device,) = devices["devices"].values()
    found: dict[tuple[str, float], float] = {}
    for point in device["profile"]["points"]:
        key = point["phase"], point["length"]
        count = layers if point["unit"] == "layer" else 1
        found[key] = found.get(key, 0.0) + count * point["seconds"]
    return found


def split(model: str, found: Found) -> dict[str, Any]:
    """Prefill on the GPU and decode on the machine model: predicted beside observed."""
    from alula.runtime import Devices, load, plan

    (gpu,) = found["table"]["devices"].values()
    devices = Devices.from_mapping(
        {
            "name": "gpu-and-accelerator",
            "devices": {
                "gpu": gpu,
                "accel": {
                    "kind": "accelerator",
                    "target": "accel",
                    "design": "kv260",
                    "format": "contract",
                },
            },
            "links": [{"between": ["gpu", "accel"], "bandwidth_gbs": 1, "latency_us": 20}],
            "crossing": "contract",
        },
        "gpu-and-accelerator",
    )
    told: dict[str, Any] = {}
    for name, pin in PINS.items():
        chosen = plan(model, devices, prompt=200, new=4, context=512, pin=pin)
        llm = load(model, plan=chosen)
        llm.tokenizer = None
        answers = [llm.generate([one, *IDS[1:200]], max_new_tokens=4) for one in (3, 4, 5)]
        compared = llm.compare(chosen).as_dict()
        told[name] = {
            "map": chosen.map,
            "comparison": compared,
            "token_ids": answers[-1].token_ids,
        }
    return told


def decoded_in_rtl(device: str) -> Step:
    """Return a step: a prompt on the GPU, then a token of the gateware in Verilator."""

    def step(model: str, found: Found) -> dict[str, Any]:
        from alula.runtime import load

        map = f"prefill:*=torch-bf16:{device},*=accel"
        llm = load(model, map=map, design="kv260", device="rtl", context=512)
        llm.tokenizer = None
        answer = llm.generate(IDS[:SHORT_PROMPT], max_new_tokens=2)
        return {
            "prompt": SHORT_PROMPT,
            "token_ids": answer.token_ids,
            "rtl_cycles": [run.counters["cycles"] for run in llm.runs],
            "matches_model": True,
        }

    return step


PINS = {
    "phases": "prefill:*=gpu,decode:*=accel",
    "layers": "layers.0-27=gpu,embed=gpu,*=accel",
    "gpu": "*=gpu",
}
PARTS = ("quick", "exact", "calibration", "split", "rtl")


def steps_of(part: str, device: str) -> Mapping[str, Step]:
    """Return the steps of a part, in order."""
    match part:
        case "machine":
            return {"machine": lambda *_: machine(device)}
        case "quick":
            return {
                "alula": measured(f"*=torch-bf16:{device}", PROMPT, NEW),
                "transformers": their_rates(device),
                "ratio": ratio("alula", "transformers"),
                "alula_cpu": measured("*=torch-fp32:cpu", PROMPT, 32),
                "transformers_cpu": their_cpu_rates,
                "ratio_cpu": ratio("alula_cpu", "transformers_cpu"),
            }
        case "exact":
            return {
                "float": measured(f"*=torch-float:{device}", SHORT_PROMPT, 64),
                "exact": measured(f"*=torch-int:{device}", SHORT_PROMPT, 64),
                "prefill_ratio": ratio("float", "exact", "prefill_s"),
                "decode_ratio": ratio("exact", "float"),
                "equal": equal_to_cpu(device),
            }
        case "calibration":
            tables = {"table": calibrated(device), "again": calibrated(device, HELD_OUT)}
            return {**tables, "held_out": held_out}
        case "rtl":
            return {"token": decoded_in_rtl(device)}
        case _:
            return {"table": calibrated(device), "plans": split}


def machine(device: str) -> dict[str, Any]:
    """What this is measured on."""
    import torch
    import transformers

    if device != "cuda":
        return {"device": device, "torch": torch.__version__}

    drivers = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "gpu": torch.cuda.get_device_name(0),
        "driver": ", ".join(sorted(set(drivers))),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def run_part(model: str, part: str, device: str) -> None:
    """Run the steps of a part, and print what was found after each."""
    found: Found = {}
    for name, step in steps_of(part, device).items():
        start = time.perf_counter()
        try:
            found[name] = step(model, found)
        except Exception:
            found[name] = {"failed": traceback.format_exc()[-2500:]}
        found[f"{name}_took_s"] = time.perf_counter() - start
        print("RESULT " + json.dumps(found), flush=True)


def part_of(model: str, part: str, device: str, limit: float) -> Found:
    """Return what a part finds in its own process; what it had found if it takes too long."""
    words = [sys.executable, "-m", "benchmarks.gpu", model, "--one", part, "--device", device]
    why: Found = {}
    try:
        done = subprocess.run(words, capture_output=True, timeout=limit, check=False)
        out, errors = done.stdout, done.stderr
        if done.returncode:
            why = {"failed": f"ended with {done.returncode}"}
    except subprocess.TimeoutExpired as error:
        out, errors = error.stdout or b"", error.stderr or b""
        why = {"failed": f"took more than {limit:g} s"}
    lines = [line for line in out.decode().splitlines() if line.startswith("RESULT ")]
    found = json.loads(lines[-1].removeprefix("RESULT ")) if lines else {}
    told = errors.decode(errors="replace")[-3000:]
    return {**found, **why, **({"stderr": told} if told else {})}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--out", default="gpu.json")
    parser.add_argument("--parts", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--limit", type=float, default=270, help="seconds of a part")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--one", choices=(*PARTS, "machine"), help="run this part, print JSON")
    given = parser.parse_args()
    if given.one:
        run_part(given.model, given.one, given.device)
        return 0
    parts = given.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"a part must be {', '.join(PARTS)}, not {unknown[0]}")
    results: Found = {}
    for part in ("machine", *parts):
        start = time.perf_counter()
        results[part] = part_of(given.model, part, given.device, given.limit)
        results[part]["took_s"] = time.perf_counter() - start
        print(part, json.dumps(results[part])[:4000], flush=True)
        with open(given.out, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
