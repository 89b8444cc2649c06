"""Prefill and decode of a small model: memory equals the machine model's, bit for bit."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tests.rtl.programs import NANO, SPARSE, Pair
from tests.shapes import FAMILIES, UNEVEN, RandomCheckpoint

from alula.codegen import compile_model, layer
from alula.ir import AttentionBlocks, Precision
from alula.isa.formats import MATRIX_FORMATS
from alula.quant import QuantizedModel
from alula.rtl.device import Timing

PROMPT = [int(token) for token in np.random.default_rng(7).integers(0, 160, 11)]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    both = Pair(Timing(stalls=20, seed=3))
    yield both
    both.device.close()


@pytest.mark.parametrize("family", [*FAMILIES, *UNEVEN])
def test_prefill_and_decode(pair: Pair, family: str) -> None:
    shape = (FAMILIES | UNEVEN)[family]
    pair.prefill_and_decode(
        compile_model(QuantizedModel(RandomCheckpoint(shape)), NANO, 96), PROMPT
    )


@pytest.fixture(scope="module")
def sparse() -> Iterator[Pair]:
    both = Pair(Timing(stalls=20, seed=3), design=SPARSE)
    yield both
    both.device.close()


@pytest.mark.parametrize("fmt", MATRIX_FORMATS)
def test_every_format(sparse: Pair, fmt: str) -> None:
    """A layer of each number of bits and pattern, prefill and decode, the head too."""
    shape = replace(FAMILIES["smollm"], layers=1)
    model = QuantizedModel(RandomCheckpoint(shape), Precision(fmt, fmt))
    sparse.prefill_and_decode(compile_model(model, SPARSE, 96), PROMPT)


def test_bands_of_rows(sparse: Pair) -> None:
    """Rows of a matrix in formats of their own: some keep 4 of 16, others 8 or all of them."""
    title = "W4 4:16 x 16 + W4 x 32 + W4 8:16 x 16"
    named = {f"layers.*.{name}": title for name in ("attn.q", "attn.k", "attn.o", "mlp.down")}
    named["layers.*.attn.q"] = "W4 8:16 x 32 + W3 4:16 x 48 + W2 2:16 x 32 + W8 2:4 x 16"
    named |= {f"layers.*.mlp.{name}": "W4 4:16 x 48 + W4 x 48" for name in ("gate", "up")}
    shape = replace(FAMILIES["smollm"], layers=1)
    model = QuantizedModel(RandomCheckpoint(shape), Precision(matrices=named))
    sparse.prefill_and_decode(compile_model(model, SPARSE, 96), PROMPT)


def test_attention_to_blocks(pair: Pair) -> None:
    """Chunks and tokens on both sides of a block's end, until the ring has come round."""
    blocks = AttentionBlocks(local=1, sinks=1, strides=(2, 0), offsets=(1, 0))
    shape = replace(FAMILIES["smollm"], layers=1, max_context=256, blocks=blocks)
    build = compile_model(QuantizedModel(RandomCheckpoint(shape)), NANO, 256)
    pair.load(build.image)
    for position, ids in ((0, PROMPT), (58, PROMPT), (69, [9]), (122, PROMPT), (187, PROMPT)):
        pair.run_model(build, ids, position)
        pair.run_model(build, [5], position + len(ids))


def test_heads_in_pieces(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms and rope of more heads than an instruction counts to, were that three."""
    monkeypatch.setattr(layer, "MOST_ROWS", 3)
    build = compile_model(QuantizedModel(RandomCheckpoint(FAMILIES["qwen3"])), NANO, 96)
    assert [op.name for op in build.decode.ops].count("ROPE") == 3
    pair.prefill_and_decode(build, PROMPT)
