"""What a model says itself."""

from dataclasses import replace

import torch
from tests.shapes import FAMILIES, RandomCheckpoint

from alula.compress.samples import sampled
from alula.frontend.float_reference import FloatReference

SOURCE = RandomCheckpoint(replace(FAMILIES["smollm"], layers=2))


def test_windows_are_as_likely_as_the_model_finds_them() -> None:
    """Its surprise is the entropy of what it expects, up to chance."""
    found = sampled(SOURCE, windows=6, tokens=50, seed=3)
    assert [len(ids) for ids in found] == [50] * 6
    surprise, entropy = [], []
    for ids in found:
        logs = FloatReference(SOURCE).logits(ids)[:-1].double().log_softmax(-1)
        surprise.append(-logs[torch.arange(49), torch.tensor(ids[1:])])
        entropy.append(-(logs.exp() * logs).sum(-1))
    difference = torch.cat(surprise) - torch.cat(entropy)
    assert abs(float(difference.mean())) < 3 * float(difference.std()) / len(difference) ** 0.5


def test_a_seed_says_which() -> None:
    one, same, other = (sampled(SOURCE, windows=2, tokens=8, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
