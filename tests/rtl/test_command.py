"""`alula run --device rtl`: the gateware answers, and what it says of itself is true."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pywellen
from tests.rtl.programs import CORES

from alula.design import load_design
from alula.isa import Image
from alula.rtl.device import Outcome, RtlDevice, RtlError
from alula.rtl.lockstep_device import LockstepDevice
from alula.rtl.plain_reader import sequential_bytes
from alula.rtl.toolchain import ToolchainError

RTL_KEYS = {
    "rtl_cycles",
    "cycles_per_token",
    "dram_read_bytes",
    "dram_write_bytes",
    "dram_efficiency",
    "stream_efficiency",
    "sim_cycles_per_s",
    "matches_model",
    "counters",
}
KV_BYTES = 3 * 2 * 2 * (32 + 2)
"""Keys and values of one token of the small model: 3 layers, 2 heads of 32 values and a scale."""

Run = Callable[..., Any]


@pytest.fixture
def run(alula: Callable[..., Any], small_model: Path) -> Run:
    """Run `alula run` on the small model and design."""
    return lambda *words: alula("run", small_model, "Hi", "--design", "nano", *words)


def test_tokens_are_the_models_and_only_kv_and_result_are_written(run: Run) -> None:
    words = ("--max-new-tokens", 4, "--json")
    result = run("--device", "rtl", *words)
    assert (result.code, result.errors) == (0, [])
    found = result.json
    assert found.keys() >= RTL_KEYS
    assert found["matches_model"] is True
    assert found["token_ids"] == run("--device", "model", *words).json["token_ids"]
    prefill, *decoded = found["runs"]
    assert prefill["bytes_written"] == prefill["tokens"] * KV_BYTES + 4
    assert [one["position"] for one in decoded] == [prefill["tokens"] + index for index in range(3)]
    for one in decoded:
        assert one["bytes_written"] == one["must_write_bytes"] == KV_BYTES + 4
        assert one["bytes_read"] > one["must_read_bytes"] > 100_000
    for one in found["runs"]:
        assert one["predicted_cycles"] == pytest.approx(one["cycles"], rel=0.03)
    assert found["predicted_cycles"] == sum(one["predicted_cycles"] for one in found["runs"])
    assert found["rtl_cycles"] == sum(one["cycles"] for one in found["runs"])
    assert found["dram_write_bytes"] == sum(one["bytes_written"] for one in found["runs"])
    assert found["counters"].keys() == {"ld", "st", "mm", "mv", "misc", "sys"}
    for engine in found["counters"].values():
        assert engine.keys() == {"busy", "starved", "blocked", "idle"}
        assert sum(engine.values()) == found["rtl_cycles"]
    mean = sum(one["cycles"] for one in decoded) / 3
    assert found["cycles_per_token"] == mean
    assert found["clock"] in ("declared", "estimated", "placed")
    assert found["tokens_per_s"] == pytest.approx(found["clock_mhz"] * 1e6 / mean)
    assert mean / 2 < found["predicted"]["decode_cycles_at_least"] < mean
    needed = sum(one["must_read_bytes"] for one in decoded) / 3
    assert found["dram_efficiency"] == pytest.approx(needed / mean / 20)
    sequential = sequential_bytes(load_design("nano"), round(mean))
    assert found["stream_efficiency"] == pytest.approx(needed / sequential, rel=0.01)
    assert found["dram_efficiency"] < found["stream_efficiency"] < 1


def test_the_prompt_on_torch_a_token_in_rtl(run: Run) -> None:
    words = ("--device", "rtl", "--max-new-tokens", 2)
    split = run(*words, "--map", "prefill:*=torch,*=accel", "--json").json
    whole = run(*words, "--json").json
    assert split["token_ids"] == whole["token_ids"]
    assert [one["phase"] for one in split["runs"]] == ["decode"]
    told = run(*words, "--map", "prefill:*=torch,*=accel")
    assert f"rtl: {split['rtl_cycles']:,} cycles" in told.out.splitlines()[-1]
    assert told.out.endswith("all of memory is the machine model's\n")


def test_waves_of_some_cycles(run: Run, tmp_path: Path) -> None:
    words = ("--device", "rtl", "--max-new-tokens", 2, "--map", "prefill:*=torch,*=accel")
    path = tmp_path / "run.fst"
    result = run(*words, "--waves", path, "--from", 2000, "--to", 2050, "--json")
    assert (result.code, result.errors) == (0, [])
    waves = pywellen.Waveform(str(path))
    clock = next(one.signal for one in waves.all_vars() if one.full_name == "top.clk")
    assert (clock[0], clock[-1]) == ((2 * 2000, 0), (2 * 2049 + 1, 1))
    late = run(*words, "--waves", path, "--from", 10**9)
    assert late.code == 0
    assert late.errors == [f"alula: {path} is empty: the run ended before cycle 1,000,000,000"]


def test_a_wrong_bit_ends_with_1_and_its_place(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate = RtlDevice.run

    def wrong(self: RtlDevice, *given: Any) -> Outcome:
        outcome = simulate(self, *given)
        self.memory[5] ^= 16
        return outcome

    monkeypatch.setattr(RtlDevice, "run", wrong)
    result = run("--device", "rtl", "--max-new-tokens", 2, "--json")
    assert result.code == 1
    (line,) = result.errors
    assert line.startswith("alula: memory after prefill must be the machine model's, not differ in")
    assert "at beat 0, byte 5 (result): must be " in line
    assert line.endswith("; in lock step (--lockstep) the instruction is found")
    found = result.json
    assert (found["matches_model"], found["region"], found["byte"]) == (False, "result", 5)


def test_lock_step_names_unit_instruction_and_bits(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--device", "rtl", "--lockstep", "--max-new-tokens", 2, "--json")
    assert run(*words).json["matches_model"] is True
    load = RtlDevice.load

    def wrong(self: RtlDevice, image: Image) -> None:
        load(self, image)
        self.memory[16 * (image.regions["layers"].start + 2)] ^= 16

    monkeypatch.setattr(RtlDevice, "load", wrong)
    # Waves have a test of their own.
    monkeypatch.setattr(LockstepDevice, "_show", lambda *given: "lockstep.fst")
    result = run(*words)
    assert result.code == 1
    assert result.errors[0] == (
        "alula: prefill must go in step with the machine model, not diverge:"
    )
    found = result.json
    lines = found["divergence"]
    assert found["matches_model"] is False
    assert lines["unit"].startswith("layers.0.")
    assert lines["instruction"].startswith("LD.")
    bits = [int(lines[name].split()[0], 16) for name in ("expected", "found")]
    assert bits[0] ^ bits[1] == 16
    assert lines["waves"] == "lockstep.fst"
    assert [line.split()[0] for line in result.errors[1:]] == list(lines)


def test_lock_step_covers_every_core(
    alula: Callable[..., Any], small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cores; a weight of the second is another one than the model's."""
    design = tmp_path / "cores.yaml"
    design.write_text(json.dumps(CORES.model_dump(mode="json")))
    words = ("run", small_model, "Hi", "--design", design, "--device", "rtl", "--lockstep")
    words += ("--max-new-tokens", 2, "--json")
    assert alula(*words).json["matches_model"] is True
    load = RtlDevice.load

    def wrong(self: RtlDevice, image: Image) -> None:
        load(self, image)
        width = CORES.bytes_per_cycle
        self.memory[width * (image.regions["layers"].start + 40) + width // 2] ^= 16

    monkeypatch.setattr(RtlDevice, "load", wrong)
    monkeypatch.setattr(LockstepDevice, "_show", lambda *given: "lockstep.fst")
    result = alula(*words)
    assert result.code == 1
    lines = result.json["divergence"]
    assert lines["instruction"].startswith("LD.W")
    assert lines["core"] == "1 of 2"
    assert lines["address"].endswith(f"byte {CORES.bytes_per_cycle // 2}")
    assert int(lines["expected"], 16) ^ int(lines["found"], 16) == 16


@pytest.mark.parametrize("error", [RtlError("prefill makes no progress"), ToolchainError("no g++")])
def test_what_the_gateware_refuses_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*given: Any) -> Outcome:
        raise error

    monkeypatch.setattr(RtlDevice, "run", fail)
    result = run("--device", "rtl")
    assert (result.code, result.out, result.errors) == (2, "", [f"alula: {error}"])


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*given: Any) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(RtlDevice, "run", interrupt)
    result = run("--device", "rtl")
    assert (result.code, result.out, result.errors) == (2, "", ["alula: interrupted"])
