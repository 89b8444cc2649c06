"""Plans that run: the same tokens as torch, what happened when, predictions beside it."""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from alula.isa import Engine
from alula.isa.instructions import BY_NAME
from alula.runtime import DeviceError, RunError, Session, load, plan, tracing
from alula.runtime.executor import Executor
from alula.runtime.loading import load_model, torch_worker
from alula.runtime.planning.devices import DeviceRecord, Devices
from alula.runtime.planning.planner import planner
from alula.runtime.split import PHASES, Segment, Target, parse_rules, parse_split
from alula.runtime.tracing import trace_events
from alula.runtime.worker import KvRows, Output, Work

PROMPT = list(b"The capital of France is")
NEW = 4


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def three() -> Devices:
    torch = {"peak_tops": {"fp32": 1}, "bandwidth_gbs": 10, "format": "fp32"}
    return Devices.from_mapping(
        {
            "name": "three",
            "devices": {
                "accel": {
                    "kind": "accelerator",
                    "design": "nano",
                    "target": "accel",
                    "format": "contract",
                },
                "one": {"kind": "cpu", "target": "torch-int:cpu", **torch},
                "two": {"kind": "cpu", "target": "torch-int:cpu:0", **torch},
            },
            "links": [
                {"between": ["one", "accel"], "bandwidth_gbs": 1, "latency_us": 10},
                {"between": ["one", "two"], "bandwidth_gbs": 10, "latency_us": 1},
            ],
            "crossing": "contract",
        },
        "three",
    )


@pytest.fixture(scope="module")
def expected(small_model: Path) -> list[int]:
    llm = load(small_model, design="nano", map="*=torch")
    return llm.generate(PROMPT, max_new_tokens=NEW).token_ids


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefill=st.lists(st.sampled_from(["accel", "one", "two"]), min_size=5, max_size=5),
    decode=st.lists(st.sampled_from(["accel", "one", "two"]), min_size=5, max_size=5),
)
def test_any_plan_gives_the_tokens_of_torch(
    small_model: Path,
    three: Devices,
    expected: list[int],
    prefill: list[str],
    decode: list[str],
) -> None:
    units = ("embed", "layers.0", "layers.1", "layers.2", "head")
    rules = [
        f"{phase}:{unit}={device}"
        for phase, devices in zip(PHASES, (prefill, decode), strict=True)
        for unit, device in zip(units, devices, strict=True)
    ]
    asked = planner(str(small_model), three, prompt=len(PROMPT), new=NEW)
    drawn = asked.fixed(parse_rules(",".join(rules), units))
    llm = load(small_model, plan=drawn)
    assert llm.generate(PROMPT, max_new_tokens=NEW).token_ids == expected


@pytest.fixture(scope="module")
def split(small_model: Path, three: Devices) -> Any:
    found = plan(
        str(small_model), three, prompt=len(PROMPT), new=NEW, pin="prefill:*=one,decode:*=accel"
    )
    assert found.map == "prefill:*=torch-int:cpu,decode:*=accel"
    return found


@pytest.fixture(scope="module")
def session(small_model: Path, split: Any) -> Session:
    llm = load(small_model, plan=split)
    llm.generate(PROMPT, max_new_tokens=NEW)
    return llm


def test_a_plan_says_map_design_and_context(session: Session, split: Any) -> None:
    assert session.info.map == split.map
    assert session.design is not None
    assert session.design.name == "nano"
    assert session.info.context == len(PROMPT) + NEW


def test_a_plan_of_another_model_map_or_design(small_model: Path, split: Any) -> None:
    other = plan("smollm2-135m", split.devices, prompt=8, new=8, pin="*=one")
    with pytest.raises(RunError, match=r"^the plan must be of .*, not of smollm2-135m$"):
        load(small_model, plan=other)
    with pytest.raises(RunError, match=r"^the map must be the plan's, prefill:.*, not \*=torch$"):
        load(small_model, plan=split, map="*=torch")
    with pytest.raises(RunError, match=r"^the design must be the plan's, nano, not tiny$"):
        load(small_model, plan=split, design="tiny")


def test_the_trace_leaves_no_gap_and_keeps_times_apart(session: Session, tmp_path: Path) -> None:
    session.trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    complete = [event for event in events if event["ph"] == "X"]
    assert {event["ph"] for event in events} == {"X", "M"}
    wall = [event for event in complete if event["args"]["clock"] == "wall"]
    (answer,) = (event for event in wall if names[event["pid"], event["tid"]] == "answers")
    parts = sorted((one for one in wall if one is not answer), key=lambda one: one["ts"])
    covered, now = 0.0, answer["ts"]
    for event in parts:
        assert event["ts"] <= now + 1
        end = event["ts"] + event["dur"]
        covered, now = covered + max(0.0, end - max(now, event["ts"])), max(now, end)
    assert covered == pytest.approx(answer["dur"], rel=0.01)
    host = [event for event in parts if names[event["pid"], event["tid"]] == "host"]
    for one, other in product(host, parts):
        apart = (
            one["ts"] + one["dur"] <= other["ts"] + 1 or other["ts"] + other["dur"] <= one["ts"] + 1
        )
        assert one is other or apart
    tracks = {names[event["pid"], event["tid"]] for event in parts}
    assert tracks == {"host", "link", "torch-int:cpu", "accel"}
    assert {event["args"]["bound"] for event in complete} <= {"host", "link", "memory", "compute"}
    assert all(event["args"]["submit_to_start_us"] >= 0 for event in complete)
    apart = {event["pid"] for event in wall} & {e["pid"] for e in complete if e not in wall}
    assert not apart


def test_the_accelerators_spans_are_its_cycles(session: Session) -> None:
    assert session.accelerator is not None
    events = [e for e in trace_events(session) if e["args"].get("clock") == "modelled cycles"]
    expected = sum(session.accelerator.timeline(run).cycles for run in session.runs)
    tracks: dict[int, float] = {}
    for event in events:
        tracks[event["tid"]] = tracks.get(event["tid"], 0) + event["args"]["cycles"]
    assert len(tracks) > 2
    assert len(session.runs) == NEW - 1
    for cycles in tracks.values():
        assert cycles == pytest.approx(expected, rel=1e-9)


def test_instructions_follow_each_other_on_their_engines(session: Session) -> None:
    """Modelled: each engine's fill the run with its waits, and say which layer they serve."""
    assert session.design is not None
    tracks = accelerator_tracks(session)
    engines = [name for name in tracks if name.endswith(" instructions")]
    assert len(engines) == len(Engine)
    for name in [*engines, "layers"]:
        now = tracks[name][0]["ts"]
        for event in tracks[name]:
            assert event["ts"] >= now - 1e-3
            now = event["ts"] + event["dur"]
    for name in engines:
        for event in tracks[name]:
            mnemonic = event["name"]
            assert mnemonic == "waits" or BY_NAME[mnemonic].engine.name == name.split()[0]
    served = {
        event["args"].get("unit", "").split(".attn")[0] for event in tracks["MV instructions"]
    }
    assert {"layers.0", "layers.1", "layers.2"} <= served
    order = [event["name"] for event in tracks["layers"]][: len(tracks["layers"]) // (NEW - 1)]
    kept = [name for name in order if name.startswith("layers.")]
    assert kept == ["layers.0", "layers.1", "layers.2"]


def test_a_trace_with_too_many_instructions_tells_engines(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = accelerator_tracks(session)
    count = sum("address" in event["args"] for events in whole.values() for event in events)
    monkeypatch.setattr(tracing, "_MOST_INSTRUCTIONS", count // 2)
    tracks = accelerator_tracks(session)
    assert 0 < len(tracks["MV instructions"]) < len(whole["MV instructions"])
    assert len(tracks["MV"]) == len(whole["MV"])


@pytest.mark.parametrize("target", ["torch-int:cpu", "torch-float:cpu", "torch-fp32:cpu", "accel"])
def test_a_plan_knows_what_workers_hand_out_when(small_model: Path, target: str) -> None:
    """What the price of keys and values counts on, of a device's record and of its worker."""
    kind = "accelerator" if target == "accel" else "cpu"
    values = {"kind": kind, "target": target, "design": "nano" if target == "accel" else None}
    values |= {"peak_tops": {"fp16": 1}, "bandwidth_gbs": 1, "estimator": "roofline"}
    record = DeviceRecord.model_validate(values)
    loaded = load_model(small_model, design="nano", map=f"*={target}", context=32)
    worker = loaded.accelerator
    if worker is None:
        worker = torch_worker(Target(*target.split(":")), loaded.checkpoint, 32)  # type: ignore
    seen: list[int] = []
    segment = Segment(Target("torch-int"), True, range(3), True)
    worker.run(segment, Work("prefill", np.array(PROMPT, np.uint32), 0, 1, False, seen.append))
    assert (seen == [0, 1, 2]) == record.by_layer
    assert worker.shared == record.shared


def accelerator_tracks(session: Session) -> dict[str, list[dict[str, Any]]]:
    """Return the events of the accelerator by the names of their tracks, in order of time."""
    events = trace_events(session)
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    tracks: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["ph"] == "X" and event["args"]["clock"] != "wall":
            tracks.setdefault(names[event["pid"], event["tid"]], []).append(event)
    return {name: sorted(found, key=lambda one: one["ts"]) for name, found in tracks.items()}


def test_the_trace_is_of_perfettos_schema(session: Session, tmp_path: Path) -> None:
    session.trace(tmp_path / "trace.pftrace")
    trace = Trace()
    assert trace.ParseFromString((tmp_path / "trace.pftrace").read_bytes()) > 0
    assert not len(UnknownFieldSet(trace))
    descriptors = [one.track_descriptor for one in trace.packet if one.HasField("track_descriptor")]
    names = {one.uuid: one.name for one in descriptors}
    assert len(names) == len(descriptors)
    tops = {one.uuid for one in descriptors if not one.HasField("parent_uuid")}
    assert {names[one] for one in tops} == {"wall clock", "accelerator, in cycles"}
    assert {one.parent_uuid for one in descriptors if one.uuid not in tops} == tops
    open_slices: dict[int, list[int]] = {}
    spent: dict[str, int] = {}
    now = 0
    for packet in trace.packet:
        if not packet.HasField("track_event"):
            continue
        event, now = packet.track_event, max(now, packet.timestamp)
        assert packet.timestamp == now, "packets must be in order of time"
        stack = open_slices.setdefault(event.track_uuid, [])
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stack.append(now)
            notes = {one.name: one for one in event.debug_annotations}
            assert notes["bound"].string_value in ("host", "link", "memory", "compute")
            assert notes["clock"].string_value in ("wall", "modelled cycles")
            assert notes["submit_to_start_us"].double_value >= 0
        else:
            start = stack.pop()
            name = names[event.track_uuid]
            spent[name] = spent.get(name, 0) + (now - start if not stack else 0)
    assert not any(open_slices.values())
    (answer,) = (span for span in session.spans if span.kind == "answer")
    assert spent["answers"] == pytest.approx(answer.seconds * 1e9, rel=1e-6)
    assert session.accelerator is not None
    assert session.design is not None
    cycles = sum(session.accelerator.timeline(run).cycles for run in session.runs)
    assert spent["waits for"] == pytest.approx(cycles / session.design.clock_hz * 1e9, abs=50)


def test_perfettos_schema_needs_its_package(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "perfetto.trace_builder.proto_builder", None)
    words = r"^a trace must be a .json file, not .pftrace, where the package perfetto is missing"
    with pytest.raises(RunError, match=words):
        session.trace(tmp_path / "trace.pftrace")
    assert not (tmp_path / "trace.pftrace").exists()


def test_comparison_is_of_the_lengths_that_were_run(session: Session, split: Any) -> None:
    found = session.compare(split)
    assert (found.prompt, found.new) == (len(PROMPT), NEW - 1)
    rows = {(row.phase, row.target): row for row in found.rows}
    prefill = rows["prefill", "torch-int:cpu"]
    wall = [span for span in session.spans if span.phase == "prefill" and span.kind == "compute"]
    assert prefill.observed_s == sum(span.seconds for span in wall)
    assert prefill.clock == "wall"
    assert prefill.predicted_s == pytest.approx(split.prefill_s)
    decode = rows["decode", "accel"]
    assert decode.observed_s is None
    assert decode.predicted_s == pytest.approx(split.decode_s * (NEW - 1) / NEW, rel=0.05)
    assert rows["decode", "link"].observed_s
    assert "torch-int:cpu" in str(found)


def test_comparison_needs_an_answer_of_this_map(small_model: Path, split: Any) -> None:
    fresh = load(small_model, plan=split)
    with pytest.raises(RunError, match="there must be an answer to compare, not none yet"):
        fresh.compare(split)
    fresh.generate(PROMPT, max_new_tokens=1)
    other = plan(str(small_model), split.devices, prompt=8, new=8, pin="*=one")
    with pytest.raises(RunError, match="the plan must be of the map"):
        fresh.compare(other)


def test_the_command_runs_a_plan(alula, small_model: Path, split: Any, tmp_path: Path) -> None:
    file, trace = tmp_path / "plan.yaml", tmp_path / "trace.json"
    split.save(file)
    ids = ",".join(map(str, PROMPT))
    words = ["run", str(small_model), "--prompt-ids", ids, "--max-new-tokens", "2", "--json"]
    told = alula(*words, "--plan", str(file), "--trace", str(trace))
    assert told.code == 0, told.errors
    assert json.loads(told.out)["map"] == split.map
    assert json.loads(trace.read_text())["traceEvents"]
    refused = alula(*words, "--plan", str(file), "--map", "*=torch")
    assert refused.code == 2
    assert "the map must be the plan's" in refused.errors[0]


class Gone:
    """A worker whose device disappears at a token, and comes back."""

    def __init__(self) -> None:
        self.fails = True

    shared = False

    def run(self, segment, work: Work) -> Output:
        if self.fails:
            raise RuntimeError("CUDA error: device\nis gone")
        return Output(token=3)

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        raise NotImplementedError

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        raise NotImplementedError


def test_a_device_that_disappears_is_told_with_its_units() -> None:
    worker = Gone()
    executor = Executor(
        parse_split("*=torch:cuda", ("embed", "layers.0", "layers.1", "head")),
        {Target("torch-int", "cuda"): worker},
    )
    words = r"^embed, layers.0-1, head on torch-int:cuda failed: CUDA error: device is gone$"
    with pytest.raises(DeviceError, match=words):
        executor.forward("prefill", [1, 2], 0)
    worker.fails = False
    assert executor.forward("prefill", [1, 2], 0).token == 3
    assert np.isfinite(executor.recorder.spans[0].seconds)
