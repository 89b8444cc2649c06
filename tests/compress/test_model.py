"""Models compressed layer by layer: nearer to the dense one, and the machine runs them."""

import pytest
import torch
from tests.codegen.test_families import SPARSE, compare
from tests.shapes import FAMILIES, UNEVEN, RandomCheckpoint

from alula.compress import compress
from alula.frontend.float_reference import FloatReference
from alula.ir import Precision
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference


def texts(vocabulary: int, seed: int, windows: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (windows, 48), generator=generator)


@pytest.mark.parametrize("family", ["smollm", "qwen3", "gpt2"])
def test_logits_come_nearer(family: str) -> None:
    checkpoint = RandomCheckpoint(FAMILIES[family])
    precision = Precision("W3", "W8")
    vocabulary = checkpoint.architecture.vocab_size
    model = compress(checkpoint, precision, texts(vocabulary, 1, 40), sweeps=2)
    ids = texts(vocabulary, 2)[0]
    dense = FloatReference(checkpoint).logits(ids)
    ours, nearest = (
        IntegerReference(one).logits(ids) for one in (model, QuantizedModel(checkpoint, precision))
    )
    assert (ours - dense).square().mean() < 0.7 * (nearest - dense).square().mean()


@pytest.mark.parametrize("family", ["smollm", *UNEVEN])
def test_the_machine_runs_it(family: str) -> None:
    checkpoint = RandomCheckpoint((FAMILIES | UNEVEN)[family])
    precision = Precision("W3 8:16", "W8", {"layers.*.mlp.down": "W2", "layers.*.attn.o": "W4 2:4"})
    windows = texts(checkpoint.architecture.vocab_size, 3)
    compare(compress(checkpoint, precision, windows, sweeps=1), SPARSE)
