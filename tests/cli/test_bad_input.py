"""Everything a person can get wrong: one line, exit code 2, nothing half-written."""

import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from alula.design import load_design
from alula.design.shipped import shipped_designs
from alula.isa import Image, Op, Program, encode_all

RUN = (sys.executable, "-c", "from alula.cli import main; main()")


def gguf(*pairs: tuple[str, str], magic: bytes = b"GGUF") -> bytes:
    """A GGUF file with text metadata and no tensors."""
    data = magic + struct.pack("<IQQ", 3, 0, len(pairs))
    for key, value in pairs:
        for text, kind in ((key, struct.pack("<I", 8)), (value, b"")):
            data += struct.pack("<Q", len(text)) + text.encode() + kind
    return data


def refused(result) -> str:
    """The line that a refused command gave."""
    assert result.code == 2
    assert result.out == ""
    (line,) = result.errors
    assert line.startswith("alula: ")
    return line.removeprefix("alula: ")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("ALULA_CACHE", str(folder))
    return folder


@pytest.fixture
def folder(small_model: Path, tmp_path: Path) -> Path:
    """A copy of the small model to damage."""
    copy = tmp_path / "model"
    shutil.copytree(small_model, copy)
    return copy


def test_pickle(alula, tmp_path: Path) -> None:
    trap, proof = tmp_path / "model.pt", tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {proof}",)

    trap.write_bytes(pickle.dumps(Trap()))
    line = refused(alula("run", trap, "hi"))
    assert "not a pickle: nothing is executed from a model file" in line
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "model.gguf"),
        (b"GGML" + bytes(60), "the first bytes must be b'GGUF', not b'GGML'"),
        (gguf(("general.architecture", "llama"))[:-3], "model.gguf"),
        (gguf(("general.architecture", "llama")), "model.gguf"),
        (b"GGUF" + bytes(range(200)), "model.gguf"),
    ],
)
def test_bad_gguf(alula, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    assert words in refused(alula("run", file, "hi"))


def test_truncated_gguf(alula, smollm2_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    with smollm2_path.open("rb") as source:
        file.write_bytes(source.read(6_000_000))
    assert "model.gguf" in refused(alula("run", file, "hi"))


def test_unknown_architecture_is_a_table(alula, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf(("general.architecture", "mamba")))
    result = alula("run", file, "hi")
    assert (result.code, result.out) == (2, "")
    assert result.errors[0] == f"alula: {file} is not supported:"
    assert "unknown architecture" in result.errors[-1]
    assert "mamba" in result.errors[-1]


def test_missing_tensors(alula, folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors")
    line = refused(alula("run", folder, "hi"))
    assert "model.layers.1.mlp.up_proj.weight" in line


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("no/such/model.gguf", "no/such/model.gguf"),
        ("no_such_module:factory", "no_such_module:factory"),
        ("nonsense", "nonsense"),
    ],
)
def test_no_such_model(alula, model: str, words: str) -> None:
    assert words in refused(alula("run", model, "hi"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["x" * 300], "the prompt must be at most 256 tokens, the context, not"),
        ([""], "the prompt must hold at least one token, not be empty"),
        (
            [],
            "the prompt must be given once, by PROMPT, --prompt-ids or --prompt-file, not 0 times",
        ),
        (
            ["hi", "--prompt-ids", "1"],
            "the prompt must be given once, by PROMPT, --prompt-ids or --prompt-file, not 2 times",
        ),
        (["--prompt-ids", "1,a"], "--prompt-ids must be numbers such as 1,2,3, not '1,a'"),
        (["--prompt-ids", "1,260"], "the prompt's token ids must be 0 to 259, not 260"),
        (["hi", "--max-new-tokens", "0"], "max_new_tokens must be at least 1, not 0"),
        (["hi", "--temperature", "-1"], "temperature must be 0 or more, not -1"),
        (["hi", "--stop", ""], "a stop text must be at least one character, not empty"),
        (
            ["hi", "--device", "board"],
            "device must be model or rtl, not 'board': boards are not in",
        ),
        (
            ["hi", "--device", "rlt"],
            "device must be model or rtl, not 'rlt'; did you mean rtl?",
        ),
        (["hi", "--lockstep"], "device must be rtl to go in lock step, not 'model'"),
        (["hi", "--context", "0"], "context must be at least 1, not 0"),
        (["hi", "--context", "9" * 400], "context must be at most 2147483648, not 999"),
        (["hi", "--max-new-tokens", "-" + "9" * 400], "max_new_tokens must be at least 1, not -99"),
        (
            ["--prompt-ids", "9" * 400],
            "the prompt's token ids must be 0 to 259, not a number of 1329 bits",
        ),
        (["--prompt-ids", "9" * 5000], "--prompt-ids must be numbers such as 1,2,3, not '999"),
        (["hi", "--seed", "9" * 5000], "Invalid value for '--seed'"),
        (["hi", "--map", "layers.9=torch,*=accel"], "units must be embed, layers.0 to layers.2"),
        (["hi", "--map", "*=torch", "--torch-mode", "no"], "Invalid value for '--torch-mode'"),
        (["hi", "--prompt-file", "nowhere.txt"], "the prompt must be given once"),
        (["--prompt-file", "nowhere.txt"], "no such file or directory: nowhere.txt"),
        (["hi", "--max-new-tokens", "x"], "Invalid value for '--max-new-tokens'"),
        (["hi", "--nonsense"], "No such option: --nonsense"),
    ],
)
def test_bad_arguments(alula, small_model: Path, words: list[str], line: str) -> None:
    assert refused(alula("run", small_model, "--design", "tiny", *words)).startswith(line)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--max-new-tokens", "0"), "max_new_tokens must be at least 1, not 0"),
        (("--temperature", "nan"), "temperature must be 0 or more, not nan"),
        (("--top-k", "-1"), "top_k must be 0 or more, not -1"),
        (("--top-p", "0"), "top_p must be above 0 and at most 1, not 0"),
        (("--seed", "-3"), "seed must be 0 or more, not -3"),
    ],
)
def test_what_is_wrong_without_a_model_is_told_first(alula, words: tuple, line: str) -> None:
    assert refused(alula("run", "no-such-model", "hi", *words)) == line


def test_a_wrong_value_is_shown_in_short(alula) -> None:
    line = refused(alula("run", "no-such-model", "--prompt-ids", "9" * 5000))
    assert line.endswith("999...'")
    assert len(line) < 120


def test_a_design_too_small(alula, small_model: Path, empty_cache: Path, tmp_path: Path) -> None:
    words = ("--design", "tiny", "--context", 4096)
    line = "context (both) must be at most 256 positions on tiny, not 4,096; the model fits with"
    assert refused(alula("run", small_model, "hi", *words)).startswith(line)
    result = alula("compile", small_model, *words, "--out", tmp_path / "out")
    assert result.code == 2
    assert "The model fits with --context" in result.out
    assert result.errors[0].startswith(f"alula: {line}")
    found = alula("compile", small_model, *words, "--json").json
    assert found["fits"] is False
    assert list((empty_cache / "builds").rglob("*")) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cores": "two"}, "must be a whole number, not 'two'"),
        ({"speed": 3}, "must be one of the keys name, part,"),
        ({"memory": [1]}, "must be a mapping of keys to values, not a list"),
    ],
)
def test_bad_designs(alula, small_model: Path, tmp_path: Path, change: dict, words: str) -> None:
    file = tmp_path / "design.yaml"
    values = yaml.safe_load(shipped_designs()["tiny"].read_text())
    file.write_text(yaml.safe_dump(values | change))
    line = refused(alula("run", small_model, "hi", "--design", file))
    assert line.startswith(words)
    assert "design.yaml" in line


def test_no_such_design(alula, small_model: Path) -> None:
    line = refused(alula("run", small_model, "hi", "--design", "kv270"))
    assert line.startswith("must be a design file, or kv260, kv260-sparse, nano, nano-sparse, tiny")


def test_an_image_for_another_design(small_model: Path) -> None:
    from alula.model import MachineError
    from alula.runtime.device import open_device

    device = open_device("model", load_design("tiny"))
    import numpy as np

    with pytest.raises(MachineError, match=r"^image must be for design tiny \("):
        device.load(Image(load_design("kv260").hash, np.zeros((1, 64), np.uint8), {}))
    with pytest.raises(MachineError, match=r"^program must be for design tiny \("):
        device.run(Program("p", load_design("kv260").hash, b"", {}, {}), {})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "magic must be ALULAPRG"),
        (b"ALULAPRG" + (2).to_bytes(8, "little") + b"{]", "header must be"),
    ],
)
def test_bad_programs(alula, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "p.alula"
    file.write_bytes(content)
    assert words in refused(alula("disasm", file))


def test_bad_listing(alula, tmp_path: Path) -> None:
    source, out = tmp_path / "a.s", tmp_path / "a.alula"
    source.write_text("NOP\nFLY to=moon\n")
    assert refused(alula("asm", source, "-o", out)).startswith(f"{source}:2: instruction must be")
    source.write_bytes(b"\xff\xfe")
    assert refused(alula("asm", source, "-o", out)).startswith("the file must be UTF-8 text")
    assert not out.exists()


def test_out_must_be_new(alula, small_model: Path, tmp_path: Path) -> None:
    line = refused(alula("compile", small_model, "--design", "tiny", "--out", tmp_path))
    assert line == f"--out must be a folder that does not exist yet, not {tmp_path}"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "the text must be at least 2 tokens, not 0"), (b"\xff", "the file must be UTF-8")],
)
def test_bad_text(alula, small_model: Path, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "text"
    file.write_bytes(content)
    line = refused(alula("eval", small_model, "--design", "tiny", "--text", file))
    assert line.startswith(words)


def test_a_model_without_a_tokenizer(alula, folder: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    words = ("run", folder, "--design", "tiny")
    line = f"the prompt must be token ids, not text: {folder} has no tokenizer"
    assert refused(alula(*words, "hi")) == line
    result = alula(*words, "--prompt-ids", "5,6", "--max-new-tokens", 2)
    assert result.code == 0
    assert len(result.out.split()) == 2
    text = tmp_path / "text"
    text.write_text("hello")
    line = refused(alula("eval", folder, "--design", "tiny", "--text", text))
    assert line.startswith("the model must have a tokenizer, not none")


def test_unknown_command_and_model(alula) -> None:
    assert refused(alula("fly")) == "No such command 'fly'."
    line = refused(alula("models", "get", "gpt5"))
    assert line == "the model must be one of smollm2-135m, not 'gpt5'"


def limited() -> None:
    """Let this process write files of at most 64 KiB: the kernel refuses the rest."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))


def test_a_disk_that_takes_no_more(small_model: Path, empty_cache: Path, files_under) -> None:
    words = ("run", str(small_model), "hi", "--design", "tiny")
    done = subprocess.run([*RUN, *words], capture_output=True, text=True, preexec_fn=limited)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("alula: file too large")
    assert files_under(empty_cache / "builds") == []


def test_a_cache_that_cannot_be_written(alula, small_model: Path, monkeypatch) -> None:
    monkeypatch.setenv("ALULA_CACHE", "/dev/null/cache")
    line = refused(alula("run", small_model, "hi", "--design", "tiny"))
    assert line.startswith("the cache must be writable, not: not a directory: /dev/null/cache")


def wait_until(true: Callable[[], bool], limit_s: float = 60) -> None:
    """Wait until something is true, at most a minute."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_while_compiling(smollm2_path: Path, empty_cache: Path, files_under) -> None:
    words = ("compile", str(smollm2_path), "--context", "256")
    with subprocess.Popen(
        [*RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: smollm2_path.name in Path(f"/proc/{process.pid}/maps").read_text())
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert errors == "alula: interrupted\n"
    assert files_under(empty_cache / "builds") == []


def test_ctrl_c_while_answering(alula, small_model: Path, monkeypatch) -> None:
    from alula.runtime import Session

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "generate", interrupted)
    result = alula("run", small_model, "hi", "--design", "tiny")
    assert (result.code, result.errors) == (2, ["alula: interrupted"])


def test_a_defect_shows_its_traceback(small_model: Path, monkeypatch, alula) -> None:
    from alula.runtime import Session

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Session, "generate", broken)
    monkeypatch.setattr(sys, "argv", ["alula", "run", str(small_model), "hi", "--design", "tiny"])
    from alula.cli import main

    with pytest.raises(ZeroDivisionError, match="a defect"):
        main()


def test_a_reader_that_leaves(small_model: Path, tmp_path: Path) -> None:
    program = tmp_path / "a.alula"
    Program("a", "", encode_all([Op("NOP")] * 20000), {}, {}).save(program)
    command = " ".join(map(json.dumps, [*RUN, "disasm", str(program)]))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -1"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
