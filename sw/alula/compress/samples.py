"""Text of the dense model's own, to choose integers on where no other is at hand."""

import torch

from alula.frontend.float_reference import FloatReference
from alula.progress import Progress, silent
from alula.quant.source import Source


@torch.inference_mode()
def sampled(
    source: Source,
    *,
    windows: int,
    tokens: int,
    seed: int,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> list[list[int]]:
    """Windows that a model says: each token is drawn as likely as the model finds it.

    The first one is any token of the vocabulary.

    Args:
        source: the model.
        windows: how many.
        tokens: of a window.
        seed: of the drawing.
        device: where the model runs.
        progress: told of each window.
    """
    model, draw = FloatReference(source, device), torch.Generator().manual_seed(seed)
    found: list[list[int]] = []
    for done in range(windows):
        progress("sampling", done, windows)
        caches = model.cache()
        ids = [int(torch.randint(source.architecture.vocab_size, (1,), generator=draw))]
        while len(ids) < tokens:
            positions = [len(ids) - 1]
            hidden = model.embed(ids[-1:], positions)
            for layer, cache in enumerate(caches):
                hidden = model.layer(layer, hidden, positions, cache)
            shares = model.head(hidden)[0].double().softmax(-1).cpu()
            ids.append(int(torch.multinomial(shares, 1, generator=draw)))
        found.append(ids)
    return found
