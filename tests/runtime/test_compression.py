"""`alula compress`: from a model and a recipe to a folder, on from where an earlier start was."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Alula

from alula.compress import distillation
from alula.compress.work import WorkFolder
from alula.cost import predict
from alula.design import load_design
from alula.design.error import listed
from alula.design.shipped import shipped_recipes
from alula.folders import cache_folder
from alula.frontend import load as load_checkpoint
from alula.frontend.compressed import CompressedCheckpoint
from alula.ir import AttentionBlocks, Precision
from alula.ir.bands import bands_of
from alula.mapper.traffic import matrix_bytes
from alula.quant import QuantizedModel
from alula.runtime import compression, evaluation, load

RULES = """\
- {units: layers, bits: 3, pattern: "8:16"}
- {units: mlp.down, bits: 4, method: compensate}
- {units: attn.k, bits: 2, pattern: "2:4", method: wanda}
"""
WORDS = "the chain ends a sum of products where a group of weights begins and memory streams on"


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw, path = random.Random(5), tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(" ".join(draw.choices(WORDS.split(), k=4000)))
    return path


@pytest.fixture
def other(text: Path, tmp_path: Path) -> Path:
    """A text that is none of those to calibrate on."""
    path = tmp_path / "other.txt"
    path.write_text(text.read_text()[::2])
    return path


Compress = Callable[..., Any]


@pytest.fixture
def compress(alula: Alula, small_model: Path, tmp_path: Path, text: Path) -> Compress:
    """Run the command with a recipe of some rules."""

    def run(
        *words: object, rules: str = RULES, tokens: int = 1024, model: object = None, more: str = ""
    ) -> Any:
        recipe = tmp_path / "recipe.yaml"
        calibration = f"{{texts: [{text}], tokens: {tokens}, window: 64}}"
        listed = f"rules:\n{rules}" if rules else ""
        recipe.write_text(f"name: test\n{listed}calibration: {calibration}\n{more}")
        always = ("--recipe", recipe, "--out", tmp_path / "out", "--test-tokens", 300)
        design = () if "--design" in words else ("--design", "nano-sparse")
        return alula("compress", model or small_model, *always, *design, *words)

    return run


def test_a_text_to_test_on_is_none_that_is_calibrated_on(compress: Compress, text: Path) -> None:
    for words in (("--test", text), ("--test", text, "--text", text.parent)):
        (line,) = compress(*words).errors
        assert "must be none of those to calibrate on, not one of" in line
        assert str(text) in line


def test_a_model_is_compressed(compress: Compress, alula: Alula, tmp_path: Path) -> None:
    found = compress("--json").json
    assert found["perplexity"] / found["reference_perplexity"] == pytest.approx(found["ratio"])
    assert found["calibration_tokens"] == 1024
    assert found["test"] == "held out of the calibration's texts"
    by_name = {unit["unit"]: unit for unit in found["units"]}
    assert len(by_name) == 3 * 7 + 1
    assert by_name["layers.1.mlp.down"] == {
        "unit": "layers.1.mlp.down",
        "format": "W4",
        "method": "compensate",
        "weights": 64 * 128,
        "bytes": 64 * 128 // 2 + 64 * 4 * 2 + 64 * 2,
    }
    assert by_name["lm_head"]["method"] == "nearest"
    assert not (tmp_path / "out.work").exists()
    compiled = alula("compile", tmp_path / "out", "--design", "nano-sparse", "--json").json
    assert compiled["predicted"]["bytes_per_token"] == found["bytes_per_token"]
    checkpoint = load_checkpoint(tmp_path / "out")
    assert isinstance(checkpoint, CompressedCheckpoint)
    assert checkpoint.manifest.figures["ratio"] == found["ratio"]
    assert checkpoint.manifest.recipe["name"] == "test"


def test_the_default_recipe_needs_no_text_but_one_to_test_on(
    alula: Alula, small_model: Path, tmp_path: Path, text: Path
) -> None:
    words = ("--out", tmp_path / "out", "--test", text, "--test-tokens", 300, "--json")
    found = alula("compress", small_model, *words).json
    assert found["calibration_tokens"] == 0
    formats = {unit["unit"]: unit["format"] for unit in found["units"]}
    assert {name for name, title in formats.items() if title == "W3"} == {
        "layers.0.attn.q",
        "layers.0.attn.k",
    }
    assert formats["lm_head"] == "W8"


def test_what_a_model_says_is_a_text(
    alula: Alula, small_model: Path, tmp_path: Path, text: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    calibration = "{samples: true, tokens: 128, window: 32}"
    rules = "- {units: layers, bits: 3, method: compensate}\n"
    recipe.write_text(f"name: test\nrules:\n{rules}calibration: {calibration}\n")
    words = ("--recipe", recipe, "--out", tmp_path / "out", "--test", text, "--json")
    found = alula("compress", small_model, *words, "--test-tokens", 300).json
    assert found["calibration_tokens"] == 128
    (line,) = alula("compress", small_model, *words[:2], "--out", tmp_path / "other").errors
    assert (
        line == f"alula: a text must be given by --text or calibration.texts, not none ({recipe})"
    )


def test_a_folded_model_says_the_same(
    compress: Compress, alula: Alula, tmp_path: Path, other: Path
) -> None:
    """Its residual stream is turned: a profile compares it with the dense model's turned alike."""
    rules = "- {units: layers, bits: 8, method: nearest}\n"
    words = ("--json", "--test", other)
    plain = compress(*words, "--out", tmp_path / "plain", rules=rules).json
    more = "fold: {rotate: true, scale: 0.5, order: true}\n"
    found = compress(*words, rules=rules, more=more).json
    assert found["perplexity"] == pytest.approx(plain["perplexity"], rel=3e-2)
    assert found["reference_perplexity"] == plain["reference_perplexity"]
    assert found["bytes_per_token"] == plain["bytes_per_token"]
    text = tmp_path / "few.txt"
    text.write_text("a b c d e f g h")
    rows = alula("profile", tmp_path / "out", "--text", text, "--tokens", 8, "--json").json["units"]
    assert all(row["own"]["snr_db"] > 25 for row in rows)


def test_a_model_that_cannot_be_turned_is_refused(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(checkpoint: object) -> None:
        raise ValueError("rotate must be off for a model that has layernorm, not on")

    monkeypatch.setattr(compression, "rotated", refused)
    (line,) = compress(more="fold: {rotate: true}\n").errors
    assert line == (
        "alula: fold: rotate must be off for a model that has layernorm, not on "
        f"({tmp_path / 'recipe.yaml'})"
    )
    (line,) = compress(more="fold: {}\n").errors
    place = tmp_path / "recipe.yaml"
    assert line == f"alula: must be rotate, a scale or order, not none of them ({place}: fold)"


def budget(*limits: str, formats: str = "[W2, W3, W4]") -> str:
    """A recipe's budget; it measures on few tokens."""
    return f"budget: {{{', '.join(limits)}, formats: {formats}, tokens: 64, whole_tokens: 512}}\n"


@pytest.mark.slow
def test_a_budget_of_bytes(compress: Compress, alula: Alula, tmp_path: Path) -> None:
    """The rest is chosen for it beside what a rule names, and measured once; that is not."""
    rules = "- {units: lm_head, bits: 8, method: nearest}\n"
    sizes = []
    for limit in (100_000, 92_000):
        out = tmp_path / str(limit)
        more = budget(f"bytes_per_token: {limit}")
        found = compress("--json", "--out", out, rules=rules, more=more).json
        compiled = alula("compile", out, "--design", "nano-sparse", "--json").json
        assert compiled["predicted"]["bytes_per_token"] == found["bytes_per_token"] <= limit
        formats = {unit["unit"]: unit["format"] for unit in found["units"]}
        assert formats.pop("lm_head") == "W8"
        assert len(set(formats.values())) > 1
        sizes.append(found["bytes_per_token"])
    assert sizes[0] > 0.97 * 100_000
    assert sizes[1] > 0.97 * 92_000
    (kept,) = (cache_folder() / "sensitivities").iterdir()
    assert len(json.loads(kept.read_text())) == 3 * 7


def test_a_budget_of_cycles(compress: Compress, tmp_path: Path, small_model: Path) -> None:
    most = 17_800
    more = budget(f"decode_cycles: {most}")
    found = compress("--json", rules="", more=more).json
    formats = {unit["unit"]: unit["format"] for unit in found["units"]}
    shape = load_checkpoint(small_model).architecture
    cost = predict(load_design("nano-sparse"), shape, "decode", precision=Precision.of(formats))
    assert 0.97 * most < cost.cycles <= most


@pytest.mark.slow
def test_a_budget_of_perplexity(compress: Compress, tmp_path: Path) -> None:
    """Fewer bytes are found for a larger ratio; either is kept on text that is held apart."""
    sizes = []
    for ratio in (1.02, 1.06):
        out = ("--out", tmp_path / str(ratio))
        more = budget(f"perplexity_ratio: {ratio}", formats="[W2, W3, W4, W8]")
        found = compress("--json", *out, rules="", more=more).json
        assert found["budget_ratio"] <= ratio
        sizes.append(found["bytes_per_token"])
    assert sizes[0] > sizes[1]
    assert (
        compress("--json", rules="", more=budget("bytes_per_token: 100000")).json["budget_ratio"]
        is None
    )


APART, TESTED = 512, 1024
"""Tokens of windows that are held apart, and of those to test on."""


def worse(ratios: dict[int, list[float]], monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Make evaluations give ratios, by the tokens of the text, in turn; how many there were."""
    measured, seen = evaluation.evaluate, dict.fromkeys(ratios, 0)

    def given(executor: Any, reference: Any, ids: list[int], *rest: Any, **more: Any) -> Any:
        found = measured(executor, reference, ids[:8], *rest, **more)
        seen[len(ids)] += 1
        return replace(found, ratio=ratios[len(ids)][seen[len(ids)] - 1])

    monkeypatch.setattr(evaluation, "evaluate", given)
    return seen


def test_a_ratio_over_the_budget_is_told(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text to test on may be another kind than what the budget was kept on."""
    worse({APART: [1.3], TESTED: [1.5]}, monkeypatch)
    more = budget("perplexity_ratio: 1.4", formats="[W4, W8]")
    found = compress("--json", "--test-tokens", TESTED, rules="", more=more)
    assert (found.json["ratio"], found.json["budget_ratio"]) == (1.5, 1.3)
    (line,) = (line for line in found.errors if "perplexity_ratio" in line)
    assert line == (
        "alula: perplexity_ratio is 1.5000 as measured, over the 1.4000 asked for: ask for less "
        f"({tmp_path / 'recipe.yaml'}: budget)"
    )


def test_a_model_over_the_budget_is_chosen_anew(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured stays known: after Ctrl-C the second one goes on."""
    seen = worse({APART: [1.45, 1.3], TESTED: [1.2, 1.2]}, monkeypatch)
    more = budget("perplexity_ratio: 1.35", formats="[W3, W4, W8]")
    words = ("--json", "--test-tokens", TESTED)
    with monkeypatch.context() as patch:
        stop_after(2, patch, KeyboardInterrupt(), of_model=2)
        assert compress(*words, rules="", more=more).code == 2
    assert seen == {APART: 1, TESTED: 0}
    found = compress(*words, rules="", more=more).json
    assert seen == {APART: 2, TESTED: 1}
    assert found["budget_ratio"] == 1.3
    compress(*words, "--out", tmp_path / "again", rules="", more=more)
    assert seen == {APART: 2, TESTED: 2}


def test_a_text_too_short_to_measure_on(compress: Compress) -> None:
    more = "budget: {bytes_per_token: 90000, tokens: 1000000}\n"
    (line,) = compress(rules="", more=more).errors
    assert line.startswith(
        "alula: the text must have 15642 windows of 256 tokens (16 to choose integers on, 15625 "
        "to measure the budget on, 1 to test on), not "
    )


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (budget("bytes_per_token: 1000"), "nearest bytes_per_token "),
        (
            budget("bytes_per_token: 80000", "perplexity_ratio: 1.00001"),
            "not bytes_per_token 80,000, perplexity_ratio 1.0000",
        ),
        (budget("tokens_per_s: 4"), "tokens_per_s"),
        ("budget: {formats: [W4]}\n", "must be bytes_per_token, decode_cycles or perplexity_"),
        (budget("bytes_per_token: 9", formats="[W5]"), "not 'W5'"),
        ("", "must be rules, a budget, or both, not neither"),
    ],
)
def test_budgets_that_cannot_be(compress: Compress, more: str, error: str, tmp_path: Path) -> None:
    (line,) = compress(rules="", more=more).errors
    assert error in line
    assert not (tmp_path / "out").exists()


def test_a_pattern_in_a_budget_needs_an_engine_that_has_it(compress: Compress) -> None:
    more = budget("bytes_per_token: 90000", formats='["W4 2:4"]')
    (line,) = compress("--design", "nano", rules="", more=more).errors
    assert "without mpe.sparse" in line


def test_copies_are_no_text_to_measure_on(compress: Compress, tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_text("a" * 30_000)
    more = budget("bytes_per_token: 90000")
    (line,) = compress("--text", tmp_path / "same.txt", rules="", more=more).errors
    assert line == (
        "alula: the text must have windows to measure the budget on that differ from those to "
        "choose integers on, not copies of them alone"
    )


ATTENTION = "attention: {local: 1, stride: 2}\n"


MIX = """\
- {units: attention, bits: 4, method: compensate}
- units: mlp
  method: compensate
  mix: {formats: ["W4 4:16", "W4 8:16", W4], keep: 0.6, rows: 16, bands: 3, layers: 2}
"""


def test_formats_by_blocks_of_rows(compress: Compress, alula: Alula, tmp_path: Path) -> None:
    """Measured once; the folder runs, and a second start goes on."""
    found = compress("--json", rules=MIX).json
    by_name = {unit["unit"]: unit for unit in found["units"]}
    titles = [by_name[f"layers.{layer}.mlp.up"]["format"] for layer in range(3)]
    assert titles[0] == titles[1] != titles[2]
    bands = bands_of(titles[0], 128)
    assert 1 < len(bands) <= 3
    kept = sum(band.rows / band.format.pattern.segments for band in bands)
    assert 0.5 * 128 < kept <= 0.6 * 128
    assert found["average_bits"] == 4
    size = sum(matrix_bytes(band.format, band.rows, 64) for band in bands)
    assert by_name["layers.0.mlp.up"]["bytes"] == size
    compiled = alula("compile", tmp_path / "out", "--design", "nano-sparse", "--json").json
    assert compiled["predicted"]["bytes_per_token"] == found["bytes_per_token"]
    checkpoint = load_checkpoint(tmp_path / "out")
    assert isinstance(checkpoint, CompressedCheckpoint)
    assert checkpoint.manifest.formats["layers.2.mlp.up"] == titles[2]
    llm = load(tmp_path / "out", design="nano-sparse", context=96)
    said = llm.generate("the chain", max_new_tokens=4)
    other = load(tmp_path / "out", design="nano-sparse", context=96, map="*=torch")
    assert other.generate("the chain", max_new_tokens=4).text == said.text
    (line,) = alula("compile", tmp_path / "out", "--design", "nano").errors
    assert "N:M patterns" in line
    text = tmp_path / "few.txt"
    text.write_text("a b c d e f g h")
    words = ("--design", "nano-sparse", "--text", text, "--tokens", 8, "--json")
    rows = alula("profile", tmp_path / "out", *words, "--out", tmp_path / "profile").json["units"]
    assert len(rows) == 3 + 2
    losses = cache_folder() / "row_losses"
    (before,) = losses.iterdir()
    stamp = before.stat().st_mtime_ns
    again = compress("--json", "--out", tmp_path / "again", rules=MIX).json
    assert again == found
    assert [one.stat().st_mtime_ns for one in losses.iterdir()] == [stamp]


def test_bands_are_told_by_their_formats() -> None:
    titles = ["W4", "W4 x 32 + W4 4:16 x 96", "W4 4:16 x 16 + W4 x 64 + W4 4:16 x 48", "W4"]
    units = [{"format": title, "method": "descent", "bytes": 1000} for title in titles]
    found = compression.Compressed(
        average_bits=4.0,
        stored_bits=4.0,
        bytes_per_token=1,
        perplexity=2.0,
        reference_perplexity=1.0,
        ratio=2.0,
        test="",
        test_tokens=1,
        calibration_tokens=1,
        budget_ratio=None,
        units=units,
    )
    assert list(found.summary()) == [
        ("W4", "descent", "2", "2,000"),
        ("W4 + W4 4:16", "descent", "2", "2,000"),
    ]


def test_a_mix_beside_a_budget(compress: Compress, tmp_path: Path) -> None:
    """The mix is as its rule says; the rest is chosen, where all was measured before."""
    more = budget("bytes_per_token: 100000", formats="[W3, W4, W8]")
    assert not compress("--out", tmp_path / "all", rules="", more=more).code
    found = compress("--json", rules=MIX[MIX.index("- units") :], more=more).json
    assert found["bytes_per_token"] <= 100_000
    formats = {unit["unit"]: unit["format"] for unit in found["units"]}
    assert " + " in formats["layers.0.mlp.up"] == formats["layers.1.mlp.up"]
    assert {formats[f"layers.{layer}.attn.q"] for layer in range(3)} <= {"W3", "W4", "W8"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("rows: 12", "must be a multiple of 8, row blocks of W4 4:16 on nano-sparse, not 12"),
        ("keep: 0.1", "must be at least 0.25, what the sparsest of the formats keeps, not 0.1"),
        ("stored_bits: 2.4, rows: 16", "must be at least 2.5 for layers.0.attn.q, as the"),
    ],
)
def test_mixes_that_cannot_be(compress: Compress, change: str, error: str, tmp_path: Path) -> None:
    limit = "" if "stored" in change or "keep" in change else "keep: 0.5, "
    mix = f"{{formats: ['W4 4:16', W4], {limit}{change}}}"
    (line,) = compress(rules=f"- {{units: layers, mix: {mix}}}\n").errors
    assert error in line
    assert not (tmp_path / "out.work").exists()


def test_a_mix_needs_an_engine_that_has_patterns(compress: Compress) -> None:
    (line,) = compress("--design", "nano", rules=MIX).errors
    assert "must be dense on nano, a design without mpe.sparse, not W4 4:16 (" in line


@pytest.mark.slow
def test_attention_to_blocks(
    compress: Compress, alula: Alula, tmp_path: Path, text: Path, small_model: Path
) -> None:
    """The folder says which, the accelerator and torch agree, and dense attention is another."""
    rules = "- {units: layers, bits: 4, method: nearest}\n"
    compress(rules=rules, more=ATTENTION)
    compress("--out", tmp_path / "dense", rules=rules)
    blocks = load_checkpoint(tmp_path / "out").architecture.blocks
    kv_heads = load_checkpoint(small_model).architecture.kv_heads
    assert blocks == AttentionBlocks.spread(kv_heads, local=1, sinks=1, stride=2)
    always = ("--design", "kv260", "--text", text, "--tokens", 240, "--json")
    found = [
        alula("eval", tmp_path / folder, *always, "--map", where).json["perplexity"]
        for folder, where in (("out", "*=accel"), ("out", "*=torch"), ("dense", "*=torch"))
    ]
    assert found[0] == found[1] != found[2]
    prompt = [100 + index % 90 for index in range(215)]
    for where in ("*=accel", "prefill:*=torch,*=accel", "prefill:*=accel,*=torch"):
        llm = load(tmp_path / "out", design="kv260", map=where)
        found = llm.generate(prompt, max_new_tokens=4, verify="torch")
        assert (
            found.token_ids
            == load(tmp_path / "out", map="*=torch").generate(prompt, max_new_tokens=4).token_ids
        )


@pytest.mark.parametrize(
    ("attention", "error"),
    [
        ("{local: 0}", "must be at least 1, not 0"),
        ("{sinks: 2}", "must be given, not missing"),
        ("{local: 1, stride: 1}", "must be 0 or more than 1 sinks, not 1"),
        ("{local: 1, stride: [4]}", "must be 2 numbers, one for each KV head, not 1"),
        ("{local: 1, stride: 4, offsets: [0, 9]}", "must be 1 to 3, not 0"),
    ],
)
def test_attention_that_cannot_be(compress: Compress, attention: str, error: str) -> None:
    (line,) = compress(more=f"attention: {attention}\n").errors
    assert error in line
    assert "recipe.yaml: attention." in line


def test_a_descent_beats_rounding(compress: Compress, tmp_path: Path) -> None:
    ratios = []
    for method in ("nearest", "descent"):
        rules = f"- {{units: layers, bits: 2, method: {method}}}\n"
        found = compress("--json", "--out", tmp_path / method, rules=rules).json
        ratios.append(abs(found["ratio"] - 1))
    assert ratios[1] < 0.7 * ratios[0]


TRAINED = "recover: {steps: 150, batch: 8, window: 32, windows: 240, rate: 0.01}\n"


def test_training_comes_nearer(compress: Compress, alula: Alula, tmp_path: Path) -> None:
    """And what it gives, gains of norms too, is what the folder holds."""
    rules = "- {units: layers, bits: 3, method: nearest}\n"
    text = tmp_path / "held.txt"
    text.write_text(" ".join(random.Random(6).choices(WORDS.split(), k=300)))
    agreement, gains = [], []
    for name, more in (("rounded", ""), ("trained", TRAINED)):
        compress("--out", tmp_path / name, "--test", text, rules=rules, more=more)
        words = ("--text", text, "--tokens", 256, "--design", "nano-sparse", "--map", "*=torch")
        found = alula("eval", tmp_path / name, *words, "--json").json
        agreement.append(found["top1_agreement"])
        gains.append(load_checkpoint(tmp_path / name).tensor("final_norm.weight"))
        assert not (tmp_path / f"{name}.work").exists()
    assert agreement[1] > agreement[0] + 0.05, agreement
    assert (gains[0] != gains[1]).any()


def test_training_needs_another_text_to_test_on(compress: Compress) -> None:
    """Windows that are held out of the texts would be among those that training draws."""
    (line,) = compress(more=TRAINED).errors
    assert line.startswith("alula: a text to test on must be given by --test, not held out of")


def test_a_training_of_another_recipe_is_refused(
    compress: Compress, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing but the weight of the task is another."""
    save = distillation._Training.save

    def stopping(self: Any, path: Path) -> None:
        save(self, path)
        raise KeyboardInterrupt

    rules = "- {units: layers, bits: 3, method: nearest}\n"
    with monkeypatch.context() as patch:
        patch.setattr(distillation, "_SAVE_SECONDS", 0)
        patch.setattr(distillation._Training, "save", stopping)
        assert compress("--test", other, rules=rules, more=TRAINED).code == 2
    more = TRAINED.replace("}", ", task_loss: 0.1}")
    (line,) = compress("--test", other, rules=rules, more=more).errors
    assert "training.pt must be of this training, not of another" in line
    assert (tmp_path / "out.work" / "training.pt").exists()


def test_a_text_too_short_to_train_on(compress: Compress, other: Path) -> None:
    more = "recover: {steps: 4, batch: 8, window: 32, windows: 4}\n"
    (line,) = compress("--test", other, more=more).errors
    assert line.startswith("alula: recover: text must have 8 windows or more, not 4 (")


class Stopped(RuntimeError):
    """Stands for whatever ends a process."""


def stop_after(
    units: int, monkeypatch: pytest.MonkeyPatch, error: BaseException, of_model: int = 1
) -> None:
    """Raise as soon as some units of the first model, or a later one, are kept."""
    add, begun = WorkFolder.add, []

    def stopping(self: WorkFolder, unit: str, matrices: dict) -> None:
        add(self, unit, matrices)
        begun.extend([unit] if self.done == 1 else [])
        if self.done == units and len(begun) == of_model:
            raise error

    monkeypatch.setattr(WorkFolder, "add", stopping)


def test_a_second_start_goes_on(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives what one start gives, and chooses nothing twice."""
    whole = compress("--json", "--out", tmp_path / "whole").json
    with monkeypatch.context() as patch:
        stop_after(2, patch, KeyboardInterrupt())
        result = compress()
    assert result.code == 2
    work = tmp_path / "out.work"
    (line,) = result.errors
    assert line == f"alula: interrupted; {work} has what is done, and the same command goes on"
    assert not (tmp_path / "out").exists()
    kept = []
    add = WorkFolder.add
    monkeypatch.setattr(
        WorkFolder, "add", lambda self, unit, found: (kept.append(unit), add(self, unit, found))
    )
    assert compress("--json").json == whole
    assert kept == ["layers.2", "head"]
    one, other = (
        QuantizedModel(load_checkpoint(tmp_path / name)).matrix("layers.2.mlp.up").integers()
        for name in ("whole", "out")
    )
    assert (one == other).all()


def test_damaged_work_is_done_again(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compress("--json", "--out", tmp_path / "whole").json
    with monkeypatch.context() as patch:
        stop_after(2, patch, KeyboardInterrupt())
        compress()
    place = tmp_path / "out.work" / "layers.0.safetensors"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    assert compress("--json").json == whole


def test_a_full_disk_keeps_what_is_done(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch, OSError(28, "No space left on device", "layers.0.safetensors"))
        (line,) = compress().errors
    assert line == "alula: no space left on device: layers.0.safetensors"
    assert json.loads((tmp_path / "out.work" / "work.json").read_text())["units"].keys() == {
        "layers.0"
    }
    assert not (tmp_path / "out").exists()


def test_work_of_another_recipe_is_refused(
    compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch, KeyboardInterrupt())
        compress()
    (line,) = compress(rules="- {units: layers, bits: 3}\n").errors
    assert line == (
        f"alula: {tmp_path / 'out.work'} must be the work of this recipe, not of another "
        "(the rules): remove it to begin anew"
    )
    (line,) = compress(tokens=512).errors
    assert "(the calibration's text)" in line


def test_something_else_in_its_place_is_refused(compress: Compress, tmp_path: Path) -> None:
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "diary.txt").write_text("mine")
    (line,) = compress().errors
    assert line.endswith("must be the folder of an unfinished compression, not something else")
    assert (tmp_path / "out.work" / "diary.txt").read_text() == "mine"


REFUSED = {
    "a design without mpe.sparse": (
        {"more": ("--design", "nano")},
        "alula: must be dense on nano, a design without mpe.sparse, not 8:16",
    ),
    "too little text": ({"tokens": 1 << 20}, "alula: the text must have 16385 windows of 256"),
    "a rule for nothing": ({"rules": "- {units: norm, bits: 3}\n"}, "alula: must be all, layers"),
    "a missing recipe": (
        {"more": ("--recipe", "w33")},
        f"alula: must be a recipe file, or {listed(sorted(shipped_recipes()))}, not a missing",
    ),
    "a missing text": ({"more": ("--text", "/none.txt")}, "alula: no such file or directory"),
    "no test": ({"more": ("--test-tokens", 1)}, "alula: test-tokens must be at least 2, not 1"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_is_one_line(kind: str, compress: Compress, tmp_path: Path) -> None:
    options, message = REFUSED[kind]
    result = compress(*options.pop("more", ()), **options)
    assert result.code == 2
    (line,) = result.errors
    assert line.startswith(message)
    assert not (tmp_path / "out").exists()


def test_a_compressed_model_is_not_compressed_again(compress: Compress, tmp_path: Path) -> None:
    rules = "- {units: layers, bits: 4, method: nearest}\n"
    compress(rules=rules)
    (line,) = compress("--out", tmp_path / "again", rules=rules, model=tmp_path / "out").errors
    assert line == f"alula: the model must be dense, not compressed already ({tmp_path / 'out'})"
    (line,) = compress(rules=rules).errors
    assert line == (
        f"alula: --out must be a folder that does not exist yet, not {tmp_path / 'out'}"
    )
