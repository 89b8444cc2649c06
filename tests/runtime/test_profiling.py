"""`alula profile`: errors, sensitivity and cost of each unit."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Alula

from alula.design import load_design
from alula.frontend import load
from alula.frontend.float_reference import FloatReference
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.runtime.profiling import profile

IDS = list(range(40, 90))


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_errors_are_those_of_both_models(small_model: Path) -> None:
    checkpoint = load(small_model)
    found = {one.unit: one for one in profile(checkpoint, checkpoint, load_design("tiny"), IDS)}
    assert list(found) == ["embed", "layers.0", "layers.1", "layers.2", "head"]
    floating, exact = FloatReference(checkpoint), IntegerReference(QuantizedModel(checkpoint))
    wanted, given = floating.logits(IDS).numpy(), exact.logits(IDS).numpy()
    lost = np.square(given - wanted, dtype=np.float64).sum()
    snr = 10 * np.log10(np.square(wanted, dtype=np.float64).sum() / lost)
    assert found["head"].accumulated.snr_db == pytest.approx(snr, abs=1e-3)
    assert found["head"].own.snr_db > found["head"].accumulated.snr_db
    assert (found["head"].least, found["head"].most) == (wanted.min(), wanted.max())
    assert found["layers.0"].own.cosine == pytest.approx(1, abs=0.05)
    assert found["embed"].peak == found["embed"].vanished == 0
    normed = floating._norm(floating.hidden(IDS), floating.unit("head"), "final_norm")
    assert found["head"].peak == pytest.approx(float(normed.abs().max()), rel=1e-4)
    assert 0 < found["layers.0"].vanished < 0.9
    positions = range(len(IDS))
    hidden = exact.layer(1, floating.layer(0, floating.embed(IDS, positions), positions), positions)
    logits = floating.head(floating.layer(2, hidden, positions)).double()
    surprise = -logits.log_softmax(-1)[range(len(IDS) - 1), IDS[1:]].mean()
    dense = floating.logits(IDS).double()
    own = -dense.log_softmax(-1)[range(len(IDS) - 1), IDS[1:]].mean()
    assert found["layers.1"].ratio == pytest.approx(float((surprise - own).exp()), rel=1e-6)


def test_costs_are_those_of_each_unit(small_model: Path) -> None:
    checkpoint = load(small_model)
    found = profile(checkpoint, checkpoint, load_design("tiny"), IDS)
    layers = [one for one in found if one.unit.startswith("layers")]
    assert max(one.cycles for one in layers) == pytest.approx(min(one.cycles for one in layers))
    shape = checkpoint.architecture
    weights = sum(rows * inputs for rows, inputs in shape.projections.values())
    assert all(one.bytes_read > weights * 9 / 16 for one in layers)
    assert found[0].cycles < layers[0].cycles


def test_the_command_writes_numbers_and_a_plot(
    small_model: Path, alula: Alula, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The chain ends a sum. " * 9)
    words = ("profile", small_model, "--design", "tiny", "--text", text, "--tokens", 40)
    found = alula(*words, "--out", tmp_path / "out", "--json").json
    assert found["tokens"] == 40
    assert json.loads((tmp_path / "out" / "profile.json").read_text()) == found["units"]
    assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")
    table = alula(*words).out.splitlines()
    assert table[0].split()[:3] == ["unit", "SNR", "dB"]
    assert len(table) == 8
    (line,) = alula(*words, "--out", tmp_path / "out").errors
    assert line.startswith("alula: --out must be a folder that does not exist yet, not ")
    (line,) = alula(*words, "--tokens", 1).errors
    assert line == "alula: tokens must be at least 2, not 1"
