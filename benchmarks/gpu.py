"""What a GPU does: quick and exact modes, a calibration and its error, a split with an accelerator.

    python -m benchmarks.gpu MODEL --out gpu.json [--parts quick,exact,calibration,split]

Every part is measured in its own process, so that one that fails leaves the others; times are the
median of several runs with their quartiles, and rates are compared within one run of this script.
Needs CUDA, and transformers with accelerate to read GGUF.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

PARTS = ("quick", "exact", "calibration", "split")
PROMPT, NEW = 128, 128
SHORT_PROMPT = 30
KNOWN_LENGTHS, HELD_OUT = (32, 128, 512), (64, 256)
IDS = [(7 * index * index + 11 * index) % 4000 + 100 for index in range(1024)]


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


def quick(model: str) -> dict[str, Any]:
    """The quick mode against transformers' generate with a static cache and compile, in bf16."""
    import torch

    llm = session(model, "*=torch-bf16:cuda", 512)
    ours = rates(llm, PROMPT, NEW)
    theirs = transformers_generate(model, "cuda", torch.bfloat16, compiled=True)
    cpu = rates(session(model, "*=torch-fp32:cpu", 512), PROMPT, 32)
    their_cpu = transformers_generate(model, "cpu", torch.float32, compiled=False, new=32)
    return {
        "alula": ours,
        "transformers": theirs,
        "ratio": ours["decode_tokens_per_s"] / theirs["decode_tokens_per_s"],
        "cpu": {
            "alula": cpu,
            "transformers": their_cpu,
            "ratio": cpu["decode_tokens_per_s"] / their_cpu["decode_tokens_per_s"],
        },
    }


def transformers_generate(
    model: str, device: str, dtype: Any, *, compiled: bool, new: int = NEW
) -> dict[str, Any]:
    """Decode tokens a second of transformers' own generate."""
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

    for _ in range(3):
        run(new)
    whole = statistics.median(run(new) for _ in range(5))
    first = statistics.median(run(1) for _ in range(5))
    return {"prefill_s": first, "decode_tokens_per_s": (new - 1) / (whole - first)}


def exact(model: str) -> dict[str, Any]:
    """The contract's integers on CUDA: tokens equal to a CPU's, and how fast."""
    found = rates(session(model, "*=torch-int:cuda", 512), SHORT_PROMPT, 64)
    floating = rates(session(model, "*=torch-float:cuda", 512), SHORT_PROMPT, 64)
    on_cpu = session(model, "*=torch-int:cpu", 512)
    reference = on_cpu.generate([54, *IDS[1:SHORT_PROMPT]], max_new_tokens=16).token_ids
    return {
        "exact": found,
        "float": floating,
        "prefill_ratio": floating["prefill_s"] / found["prefill_s"],
        "tokens_equal_to_cpu": found["token_ids"][: len(reference)] == reference,
    }


def profile(model: str, target: str, lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Points of a profile of one device: prefill and decode of the whole model."""
    llm = session(model, f"*={target}", 1024)
    points = []
    for length in lengths:
        for number in range(2):
            llm.generate([number + 9, *IDS[1:length]], max_new_tokens=34)
        prefill, decode = [], []
        for number in range(5):
            found = llm.generate([number + 50, *IDS[1:length]], max_new_tokens=33)
            prefill.append(found.prefill_s)
            decode.append(1 / (found.decode_tokens_per_s or 1.0))
        for phase, place, values in (
            ("prefill", length, prefill),
            ("decode", length + 15.5, decode),
        ):
            low, middle, high = statistics.quantiles(values, n=4)
            points.append(
                {
                    "phase": phase,
                    "length": place,
                    "seconds": middle,
                    "spread": (high - low) / 2,
                }
            )
    return points


def calibration(model: str) -> dict[str, Any]:
    """A table of the GPU, and what it says of lengths that it does not have."""
    from alula.runtime.planning.profile import straight_line

    known = profile(model, "torch-bf16:cuda", KNOWN_LENGTHS)
    held = profile(model, "torch-bf16:cuda", HELD_OUT)
    errors = []
    for point in held:
        rows = sorted(
            (one["length"], one["seconds"]) for one in known if one["phase"] == point["phase"]
        )
        low = max(row for row in rows if row[0] <= point["length"])
        high = min(row for row in rows if row[0] >= point["length"])
        told = straight_line(low, high, point["length"])
        errors.append({**point, "predicted_s": told, "error": told / point["seconds"] - 1})
    return {
        "points": known,
        "held_out": errors,
        "largest_error": max(abs(one["error"]) for one in errors),
    }


def split(model: str) -> dict[str, Any]:
    """Prefill on the GPU and decode on the machine model: predicted beside observed."""
    from alula.runtime import Devices, load, plan

    points = profile(model, "torch-bf16:cuda", KNOWN_LENGTHS)
    devices = Devices.from_mapping(
        {
            "name": "gpu-and-accelerator",
            "devices": {
                "gpu": {
                    "kind": "gpu",
                    "target": "torch-bf16:cuda",
                    "format": "bf16",
                    "profile": {"model": model, "source": "measured", "points": points},
                },
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
    found = plan(
        model, devices, prompt=200, new=4, context=1024, pin="prefill:*=gpu,decode:*=accel"
    )
    llm = load(model, plan=found)
    llm.tokenizer = None
    answers = [llm.generate([one, *IDS[1:200]], max_new_tokens=3) for one in (3, 4, 5)]
    told = llm.compare(found)
    return {"map": found.map, "comparison": told.as_dict(), "token_ids": answers[-1].token_ids}


def machine() -> dict[str, Any]:
    """What this is measured on."""
    import torch
    import transformers

    driver = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "gpu": torch.cuda.get_device_name(0),
        "driver": driver,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "cpu": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--out", default="gpu.json")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--limit", type=float, default=270, help="seconds of a part")
    parser.add_argument("--one", choices=(*PARTS, "machine"), help="run this part, print JSON")
    given = parser.parse_args()
    if given.one:
        work = {"quick": quick, "exact": exact, "calibration": calibration, "split": split}
        found = machine() if given.one == "machine" else work[given.one](given.model)
        print("RESULT " + json.dumps(found), flush=True)
        return 0
    results: dict[str, Any] = {}
    for part in ("machine", *given.parts.split(",")):
        words = [sys.executable, "-m", "benchmarks.gpu", given.model, "--one", part]
        start = time.perf_counter()
        try:
            done = subprocess.run(
                words, capture_output=True, text=True, timeout=given.limit, check=False
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            failed = {"failed": done.stderr[-4000:], "code": done.returncode}
            results[part] = json.loads(lines[-1].removeprefix("RESULT ")) if lines else failed
            if lines and done.stderr:
                results[part]["stderr"] = done.stderr[-1500:]
        except subprocess.TimeoutExpired as error:
            told = error.stderr.decode() if isinstance(error.stderr, bytes) else error.stderr
            results[part] = {"failed": "took too long", "stderr": (told or "")[-3000:]}
        results[part]["took_s"] = time.perf_counter() - start
        print(part, json.dumps(results[part])[:3000], flush=True)
        with open(given.out, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
