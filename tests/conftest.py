"""What tests of several packages share."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Under load a test may take ten seconds, and the command line would then tell how far it is.
os.environ.setdefault("ALULA_PROGRESS", "off")

# A busy machine is no failure: property tests have no deadline.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable")

RTL = [Path(__file__).parent / name for name in ("gateware", "bench", "rtl")]

SMOKE = {
    "hdl": "tests/gateware/test_clock_gate.py::test_clock_gate[clock_gate-",
    "arithmetic": "tests/gateware/test_float_units.py::test_float_units[float-add-",
    "control": "tests/gateware/test_dispatch.py::test_dispatch[dispatch-",
    "stream": "tests/gateware/test_ring.py::test_random_walks_against_a_list[ring_7_0-",
    "buffers": "tests/gateware/test_buffers.py::test_buffers[staging_buffer-",
    "matrix": "tests/gateware/test_chain.py::test_chain[chain_0_1-",
    "sfu": "tests/gateware/test_sfu.py::test_sfu[sfu-2-",
    "memory": "tests/gateware/test_load.py::test_load[load_narrow-",
    "top": "tests/gateware/test_cores.py::test_cores[join-",
    "a core with layers": "tests/rtl/test_family.py::test_prefill_and_decode[llama]",
    "random programs": "tests/rtl/test_fuzz.py::test_random_programs_agree[nano-20]",
}
"""What `make test` simulates: a unit of each room of the gateware, a small model, programs."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what simulates gateware: smoke, or rtl."""
    for item in items:
        if item.nodeid.startswith(tuple(SMOKE.values())):
            item.add_marker("smoke")
        elif any(folder in item.path.parents for folder in RTL) and not item.get_closest_marker(
            "smoke"
        ):
            item.add_marker("rtl")


SUMMARIES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SUMMARIES] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Gather a line for each bench that was simulated; a worker sends them to the main process."""
    bench = sys.modules.get("alula.bench.bench")
    finished = [one for one in bench.Bench.finished if one.file.parent != RTL[1]] if bench else []
    lines = [one.summary() for one in finished]
    session.config.stash[SUMMARIES] += lines
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["summaries"] = lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker of pytest-xdist has gathered."""
    node.config.stash[SUMMARIES] += getattr(node, "workeroutput", {}).get("summaries", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was simulated, and how fast."""
    summaries = config.stash[SUMMARIES]
    if summaries:
        terminalreporter.section("simulated")
    for line in sorted(summaries):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct as GGUF."""
    from alula.runtime import models

    return models.get("smollm2-135m")


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of three layers as a Hugging Face folder; a token is a byte."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=260,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    folder = tmp_path_factory.mktemp("small") / "model"
    model.save_pretrained(folder)
    write_byte_tokenizer(folder)
    return folder


def write_byte_tokenizer(folder: Path) -> None:
    """Write a tokenizer with one token a byte, `<s>` 0, `</s>` 1, and a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0, "</s>": 1} | {char: index for index, char in enumerate(alphabet, 2)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    template = (
        "{% for m in messages %}{{ bos_token }}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    )
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@dataclass(frozen=True)
class Result:
    """What a command gave: exit code, standard output, lines of standard error."""

    code: int
    out: str
    errors: list[str]

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Alula = Callable[..., Result]
Install = Callable[..., None]


@pytest.fixture
def alula(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Alula:
    """Run `alula` with some words, in this process."""
    from alula.cli import main

    def run(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["alula", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, errors = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, out, errors.splitlines())

    return run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ALULA_CACHE", str(folder))
    return folder


@pytest.fixture
def files_under() -> Callable[[Path], list[str]]:
    """List everything under a folder, hidden things included."""
    return lambda folder: sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a package with entry points of a group, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(group: str, text: str, package: str = "plug", **names: str) -> None:
        (tmp_path / f"{package}_module.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"{package}_module", raising=False)
        info = tmp_path / f"{package}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.5\n")
        lines = [f"{name} = {package}_module:{value}\n" for name, value in names.items()]
        (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")

    return write
