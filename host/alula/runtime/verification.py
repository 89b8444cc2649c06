"""Whether an answer is the one that torch gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alula.frontend import Checkpoint
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference
from alula.quant.units import UnitModel
from alula.runtime.errors import RunError
from alula.runtime.reference import Reference, reference_of


@dataclass(frozen=True)
class Verification:
    """How a greedy answer compares with torch, token by token, each after the same tokens.

    Attributes:
        tokens: tokens of the answer.
        equal: of these, how many the quantised model gives in torch's exact integers. All, or the
            accelerator is wrong.
        float_agreement: how many the reference gives: fp32 on the unquantised weights.
        reference: whose fp32 that is; see `Reference`.
    """

    tokens: int
    equal: int
    float_agreement: int
    reference: str


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
    reference = reference_of(checkpoint)
    floating = _greedy(reference, prompt, answer)
    given = np.array(answer)
    equal, agreeing = int((exact == given).sum()), int((floating == given).sum())
    return Verification(len(given), equal, agreeing, reference.label)


def _greedy(
    model: UnitModel | Reference, prompt: Sequence[int], answer: Sequence[int]
) -> np.ndarray:
    """The most likely token at each place of the answer, after the answer's own tokens."""
    ids = [*prompt, *answer[:-1]]
    if isinstance(model, UnitModel):
        logits = model.head(model.hidden(ids)[-len(answer) :])
    else:
        logits = model.logits(ids)[-len(answer) :]
    return logits.argmax(dim=-1).cpu().numpy()
