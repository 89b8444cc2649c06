"""A trace of the gateware: cycles as they were simulated, down to instructions."""

import json
from pathlib import Path

import pytest

from alula.isa import Engine

PROMPT = list(b"The capital of France is")


@pytest.mark.slow
def test_a_trace_of_the_gateware(alula, small_model: Path, tmp_path: Path) -> None:
    """Simulated: the cycles of each track are the run's exactly, instruction by instruction."""
    path = tmp_path / "trace.json"
    told = alula(
        *("run", str(small_model), "--design", "nano", "--device", "rtl"),
        *("--map", "prefill:*=torch,decode:*=accel", "--prompt-ids", ",".join(map(str, PROMPT))),
        *("--max-new-tokens", "2", "--trace", str(path), "--json"),
    )
    assert told.code == 0, told.errors
    (run,) = json.loads(told.out)["runs"]
    events = json.loads(path.read_text())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    cycles: dict[str, float] = {}
    mnemonics: dict[str, list[str]] = {}
    for event in events:
        if event["ph"] != "X" or event["args"]["clock"] == "wall":
            continue
        assert event["args"]["clock"] == "simulated cycles"
        track = names[event["pid"], event["tid"]]
        cycles[track] = cycles.get(track, 0) + event["args"]["cycles"]
        mnemonics.setdefault(track, []).append(event["name"])
    assert set(cycles.values()) == {run["cycles"]}
    assert {f"{engine.name} instructions" for engine in Engine} < set(cycles)
    assert mnemonics["SYS instructions"][-1] == "END"
    assert [name for name in mnemonics["layers"] if name.startswith("layers")] == [
        "layers.0",
        "layers.1",
        "layers.2",
    ]
    wall = [e for e in events if e["ph"] == "X" and e["args"]["clock"] == "wall"]
    (answer,) = (e for e in wall if names[e["pid"], e["tid"]] == "answers")
    covered, now = 0.0, answer["ts"]
    for event in sorted((e for e in wall if e is not answer), key=lambda e: e["ts"]):
        end = event["ts"] + event["dur"]
        covered, now = covered + max(0.0, end - max(now, event["ts"])), max(now, end)
    assert covered == pytest.approx(answer["dur"], rel=0.01)
