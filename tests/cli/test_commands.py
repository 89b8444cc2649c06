"""What the commands print, for people and for programs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alula.codegen import Build
from alula.isa import Image, Program

RUN_KEYS = {
    "text",
    "prompt_ids",
    "token_ids",
    "device",
    "design_hash",
    "program_bytes",
    "prefill_s",
    "decode_tokens_per_s",
}
EVAL_KEYS = {"perplexity", "reference_perplexity", "ratio", "top1_agreement"}
COMPILE_KEYS = {
    "decode_program_bytes",
    "prefill_program_bytes",
    "image_bytes",
    "kv_bytes",
    "fits",
}
LISTING = """LI rd=r3 value=7
LOOP count=4 body=1
    NOP
END
"""


def test_run_json(alula, small_model: Path) -> None:
    result = alula("run", small_model, "Hi", "--design", "tiny", "--max-new-tokens", 4, "--json")
    assert (result.code, result.errors) == (0, [])
    assert result.json.keys() >= RUN_KEYS
    assert len(result.json["token_ids"]) == 4
    assert result.json["device"] == "model"
    assert 0 < result.json["program_bytes"] < 65536
    assert result.json["prefill_s"] > 0
    assert result.json["decode_tokens_per_s"] > 0


def test_run_streams_what_json_has(alula, small_model: Path) -> None:
    words = ("run", small_model, "--design", "tiny", "--max-new-tokens", 6, "--raw")
    text = alula(*words, "abc", "--json").json["text"]
    result = alula(*words, "abc")
    # What a terminal would obey is escaped, here \x06.
    shown = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda one: f"\\x{ord(one[0]):02x}", text)
    assert shown != text
    assert (result.code, result.out, result.errors) == (0, shown + "\n", [])


def test_an_answer_is_verified_against_torch(alula, small_model: Path) -> None:
    words = ("run", small_model, "--design", "tiny", "--max-new-tokens", 5, "--raw", "--verify")
    verified = alula(*words, "abc", "--json").json["verified"]
    assert (verified["tokens"], verified["equal"]) == (5, 5)
    result = alula(*words, "abc")
    assert "verified: of 5 tokens torch gives 5 in exact integers" in result.out.splitlines()[-1]
    refused = alula(*words, "abc", "--temperature", 1)
    assert (refused.code, refused.out) == (2, "")
    assert refused.errors == ["alula: temperature must be 0 to verify an answer, not 1.0"]


def test_a_wrong_answer_is_found(alula, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alula.runtime import verification

    greedy = verification._greedy
    monkeypatch.setattr(verification, "_greedy", lambda *given: greedy(*given) + 1)
    words = ("run", small_model, "--design", "tiny", "--max-new-tokens", 3, "--raw", "--verify")
    result = alula(*words, "abc", "--json")
    assert result.code == 1
    assert result.errors == ["alula: torch must give the same 3 tokens, not 0 of them"]


def test_prompts_in_three_ways(alula, small_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Grüße", encoding="utf-8")
    words = ("run", small_model, "--design", "tiny", "--max-new-tokens", 2, "--json", "--raw")
    first = alula(*words, "Grüße").json
    ids = ",".join(map(str, first["prompt_ids"]))
    for way in (("--prompt-file", file), ("--prompt-ids", ids)):
        again = alula(*words, *way).json
        assert again["token_ids"] == first["token_ids"]
        assert again["prompt_ids"] == first["prompt_ids"]


def test_run_split(alula, small_model: Path) -> None:
    words = ("run", small_model, "Hi", "--design", "tiny", "--max-new-tokens", 4, "--json")
    whole = alula(*words).json
    split = alula(*words, "--map", "layers.0-1=torch,*=accel").json
    assert split["token_ids"] == whole["token_ids"]
    alone = alula(*words, "--map", "*=torch", "--torch-mode", "float").json
    assert alone["program_bytes"] == 0


def test_eval(alula, small_model: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("She sells sea shells by the sea shore. " * 3)
    words = ("eval", small_model, "--design", "tiny", "--text", text, "--tokens", 60)
    result = alula(*words, "--json")
    assert result.code == 0
    assert result.json.keys() >= EVAL_KEYS
    found = result.json
    assert found["ratio"] == pytest.approx(found["perplexity"] / found["reference_perplexity"])
    assert 0 < found["top1_agreement"] <= 1
    assert (found["tokens"], found["predictions"]) == (60, 59)
    shown = alula(*words)
    assert f"ratio           {found['ratio']:.4f}\n" in shown.out
    accelerated = alula(*words, "--map", "*=accel", "--json").json
    assert (found["map"], accelerated["map"]) == ("*=torch", "*=accel")
    assert found["perplexity"] == accelerated["perplexity"]


def test_eval_checks_the_design_that_torch_stands_in_for(alula, small_model: Path) -> None:
    words = ("eval", small_model, "--text", __file__, "--tokens", 60)
    result = alula(*words, "--design", "tiny", "--context", 10**6)
    assert result.code == 2
    assert "context (both) must be at most 256 positions on tiny" in result.errors[0]
    device = alula(*words, "--design", "tiny", "--device", "no-such")
    assert "no-such" in device.errors[0]


def test_compile(alula, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "build"
    result = alula(
        "compile", small_model, "--design", "tiny", "--context", 64, "--out", out, "--json"
    )
    assert (result.code, result.errors) == (0, [])
    assert result.json.keys() >= COMPILE_KEYS
    assert result.json["fits"] is True
    sizes = [len(Program.load(out / f"{name}.alula").code) for name in ("decode", "prefill")]
    assert sizes == [result.json["decode_program_bytes"], result.json["prefill_program_bytes"]]
    assert (out / "image.alula").stat().st_size > result.json["image_bytes"] > 0
    shown = alula("compile", small_model, "--design", "tiny", "--context", 64)
    assert "vector buffer" in shown.out
    assert "decode program bytes" in shown.out


def test_what_is_left_out_is_told(alula, small_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_model, copy)
    (copy / "model-00007-of-00009.safetensors").write_bytes(b"")
    result = alula("compile", copy, "--design", "tiny", "--context", 64)
    line = (
        "model-00007-of-00009.safetensors is not read: the weights are those of model.safetensors"
    )
    assert (result.code, result.errors) == (0, [f"alula: {line} ({copy})"])


def test_a_damaged_build_is_told_in_one_line(alula, small_model: Path, cache: Path) -> None:
    words = ("run", small_model, "--prompt-ids", "5,6", "--design", "tiny", "--context", 64)
    words = (*words, "--max-new-tokens", 4, "--json")
    first = alula(*words)
    (path,) = (cache / "builds").glob("*/image.alula")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x80
    path.write_bytes(data)
    again = alula(*words)
    line = (
        f"alula: {path.parent} was damaged (image.alula is not what was written) and is made anew"
    )
    assert (again.code, again.errors) == (0, [line])
    assert again.json["token_ids"] == first.json["token_ids"]
    assert alula(*words).errors == []


def test_what_the_hardware_would_do(alula, small_model: Path) -> None:
    """Bounds from bytes and bandwidth: tiny reads 16 bytes a cycle at 80 MHz."""
    words = (small_model, "--design", "tiny", "--context", 64)
    compiled = alula("compile", *words, "--json").json
    first, last = compiled["predicted"], compiled["predicted_at_full_context"]
    assert (first["position"], last["position"]) == (0, 63)
    # Of each of 3 layers and 63 tokens: keys and values of 2 heads, 32 bytes and a bf16 scale.
    assert last["bytes_per_token"] - first["bytes_per_token"] == 3 * 63 * 2 * 2 * (32 + 2)
    for bound in (first, last):
        assert bound["decode_cycles_at_least"] == bound["bytes_per_token"] / 16
        assert bound["tokens_per_s_at_most"] == 80e6 / bound["decode_cycles_at_least"]
        assert (bound["clock_mhz"], bound["clock"]) == (80, "declared")
        assert bound["source"].startswith("bound: bytes that any design must read")
    tokens = compiled["modelled"]
    assert [token["tokens"] for token in tokens] == [1, 64]
    for token, bound in zip(tokens, (first, last), strict=True):
        assert token["predicted_cycles"] > bound["decode_cycles_at_least"]
        assert sum(token["accounts"].values()) == pytest.approx(token["predicted_cycles"])
        assert token["tokens_per_s"] == token["clock_mhz"] * 1e6 / token["predicted_cycles"]
    shown = alula("compile", *words).out
    assert f"64 tokens: {tokens[1]['predicted_cycles']:,.0f} cycles a token, " in shown
    assert f"at least {first['decode_cycles_at_least']:,.0f} cycles a token, at most" in shown
    assert "tokens/s at 80 MHz (declared)" in shown
    ran = alula("run", *words[:1], "abc", *words[1:], "--max-new-tokens", 3, "--json").json
    bound = ran["predicted"]
    assert bound["position"] == len(ran["prompt_ids"]) + 0.5
    assert bound["decode_cycles_at_least"] >= bound["bytes_per_token"] / 16
    assert first["bytes_per_token"] < bound["bytes_per_token"] < 3 * first["bytes_per_token"]
    assert bound["source"].startswith("bound: bytes read in the machine model")
    torch = alula("run", *words[:1], "abc", "--design", "tiny", "--map", "*=torch", "--json").json
    assert torch["predicted"] is None
    assert torch["predicted_cycles"] == 0
    assert ran["predicted_cycles"] > 3 * tokens[0]["predicted_cycles"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--from", 3), "--waves must name a file for --from and --to, not be left out"),
        (("--waves", "w.fst"), "device must be rtl to write waves, not 'model'"),
        (
            ("--waves", "w.fst", "--device", "rtl", "--from", -1),
            "--from must be at least 0, not -1",
        ),
        (
            ("--waves", "w.fst", "--device", "rtl", "--from", 7, "--to", 7),
            "--to must be above --from, which is 7, not 7",
        ),
    ],
)
def test_no_waves(alula, small_model: Path, words: tuple[object, ...], line: str) -> None:
    result = alula("run", small_model, "Hi", "--design", "tiny", *words)
    assert (result.code, result.out, result.errors) == (2, "", [f"alula: {line}"])


def test_assembler_round_trip(alula, tmp_path: Path) -> None:
    source, program = tmp_path / "a.s", tmp_path / "a.alula"
    source.write_text(LISTING)
    assert alula("asm", source, "-o", program, "--design", "tiny", "--json").json["bytes"] == 64
    listing = tmp_path / "b.s"
    listing.write_text(alula("disasm", program).out)
    again = tmp_path / "b.alula"
    assert alula("asm", listing, "-o", again, "--design", "tiny").code == 0
    assert Program.load(again).code == Program.load(program).code
    found = alula("disasm", program, "--json").json
    assert found["instructions"][-1] == "END"
    assert found["design_hash"] == Program.load(program).design_hash


def test_disassembly_of_a_build_assembles_again(alula, small_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "build"
    alula("compile", small_model, "--design", "tiny", "--context", 64, "--out", out)
    for name in ("decode", "prefill"):
        listing = tmp_path / f"{name}.s"
        shown = alula("disasm", out / f"{name}.alula").out
        listing.write_text(shown)
        again = tmp_path / f"{name}.alula"
        assert alula("asm", listing, "-o", again, "--design", "tiny").code == 0
        program = Program.load(str(out / f"{name}.alula"))
        assert Program.load(again).code == program.code
        lines = [line for line in shown.splitlines() if not line.startswith(";")]
        units = [line.partition("  ; ")[2] for line in lines]
        loops = program.layer_loops
        assert units == ["layers" if n in loops else one for n, one in enumerate(program.origins)]
        assert {"embed", "layers", "layers.{layer}.attn.q", "layers.{layer}.mlp.down"} <= {*units}
        found = alula("disasm", out / f"{name}.alula", "--json").json
        assert found["units"] == list(program.origins)
        assert found["layer_loops"] == {str(address): first for address, first in loops.items()}
    assert Build.load(str(out)).decode == Program.load(out / "decode.alula")
    assert Image.load(str(out / "image.alula")).design_hash == program.design_hash


def test_models(alula) -> None:
    (model,) = alula("models", "list", "--json").json
    assert model["name"] == "smollm2-135m"
    assert model["licence"] == "Apache-2.0"
    assert "smollm2-135m  SmolLM2-135M-Instruct, GGUF Q4_1" in alula("models", "list").out


def test_models_get_and_path(alula, smollm2_path: Path) -> None:
    got = alula("models", "get", "smollm2-135m", "--json").json
    assert Path(got["path"]).read_bytes()[:4] == b"GGUF"
    assert alula("models", "path", "smollm2-135m").out == got["path"] + "\n"


def test_doctor(alula) -> None:
    result = alula("doctor", "--json")
    assert result.code == 0
    assert {"name", "found", "ok", "fix"} <= result.json[0].keys()
    assert "g++" in alula("doctor").out


@pytest.mark.parametrize(
    "command", ["run", "eval", "compile", "asm", "disasm", "models get", "doctor"]
)
def test_help_has_options(alula, command: str) -> None:
    result = alula(*command.split(), "--help")
    assert (result.code, result.errors) == (0, [])
    assert "--json" in result.out


def test_version_and_short_help(alula) -> None:
    from importlib.metadata import version

    assert alula("--version").out == f"alula {version('alula')}\n"
    for words in ((), ("run",), ("models",), ("models", "get")):
        assert alula(*words, "-h").out == alula(*words, "--help").out


@pytest.mark.parametrize(
    ("words", "index", "found"),
    [
        ("alula comp", 1, ["compare", "compile", "compress"]),
        ("alula run smol", 2, ["smollm2-135m"]),
        ("alula run x --design nano", 4, ["nano", "nano-sparse"]),
        ("alula synth ti", 2, ["tiny"]),
        ("alula sweep q", 2, ["quick"]),
    ],
)
def test_completion(words: str, index: int, found: list[str]) -> None:
    wanted = {"_ALULA_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(index)}
    done = subprocess.run(
        [sys.executable, "-m", "alula"],
        env={**os.environ, **wanted},
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.split()) == found


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_output_encoding(tmp_path: Path, encoding: str) -> None:
    """No traceback, on standard output or error, and JSON stays JSON."""
    name = "Größe→𝟚"
    source, program = tmp_path / f"{name}.s", tmp_path / f"{name}.alula"
    source.write_text("NOP\nEND\n")
    env = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    def alula(*words: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "alula", *map(str, words)], env=env, capture_output=True
        )

    assert alula("asm", source, "-o", program, "--design", "tiny").returncode == 0
    told = alula("disasm", program, "--json")
    assert json.loads(told.stdout.decode(encoding))["name"] == name
    shown = alula("disasm", program)
    assert shown.returncode == 0
    assert name.encode(encoding, "backslashreplace") in shown.stdout
    refused = alula("run", f"{name}.gguf", "x")
    assert refused.returncode == 2
    assert name.encode(encoding, "backslashreplace") in refused.stderr
    assert alula("run", "--help").returncode == 0
    errors = shown.stderr + refused.stderr
    assert b"Traceback" not in errors


def test_help_takes_half_a_second() -> None:
    """In processor time, which a busy machine does not stretch."""
    program = "import sys; sys.argv = ['alula', '--help']; from alula.cli import main; main()"
    before = os.times()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    assert after.children_user - before.children_user < 0.5


def test_progress_in_lines(
    alula, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path))
    monkeypatch.setenv("ALULA_PROGRESS", "lines")
    result = alula("run", small_model, "Hi", "--design", "tiny", "--max-new-tokens", 2, "--json")
    assert result.code == 0
    assert "alula: reading the prompt 0%" in result.errors
    assert len(set(result.errors)) == len(result.errors) > 1
