"""Whether an answer is the one that torch gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alula.frontend import Checkpoint
from alula.frontend.float_reference import FloatReference
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.quant.units import UnitModel
from alula.runtime.errors import RunError


@dataclass(frozen=True)
class Verification:
    """How a greedy answer compares with torch, token by token, each after the same tokens.

    Attributes:
        tokens: tokens of the answer.
        equal: of these, how many the quantised model gives in torch's exact integers. All, or the
            accelerator is wrong.
        float_agreement: how many torch fp32 gives on the unquantised weights.
    """

    tokens: int
    equal: int
    float_agreement: int


def verify(checkpoint: Checkpoint, prompt: Sequence[int], answer: Sequence[int]) -> Verification:
    """Run a prompt and its greedy answer through torch.

    Args:
        checkpoint: the model.
        prompt: token ids, at least one.
        answer: token ids that the accelerator gave, at least one.

    Raises:
        RunError: a token sequence is empty.
    """
    if not prompt or not answer:
        raise RunError("what is verified must be a prompt and an answer, not empty")
    exact = _greedy(IntegerReference(QuantizedModel(checkpoint)), prompt, answer)
    floating = _greedy(FloatReference(checkpoint), prompt, answer)
    given = np.array(answer)
    return Verification(len(given), int((exact == given).sum()), int((floating == given).sum()))


def _greedy(model: UnitModel, prompt: Sequence[int], answer: Sequence[int]) -> np.ndarray:
    """The most likely token at each place of the answer, after the answer's own tokens."""
    hidden = model.hidden([*prompt, *answer[:-1]])
    return model.head(hidden[-len(answer) :]).argmax(dim=-1).cpu().numpy()
