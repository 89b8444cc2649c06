"""A reading of a configuration compared with the model that transformers makes of it.

transformers builds its own model of the same configuration, cut to two layers, a few hundred rows
of vocabulary and of MLP, with random weights. Its logits must be those of Alula's reading of that
model: at the first positions and at the last ones of the context, so that a key of the
configuration that changes what is computed, and that Alula does not read, is found whatever it is
called. What cannot be seen so are layers that differ from each other: lists by layer are read.

A configuration is compared once: the verdict is kept in the cache, under the configuration, the
versions and Alula's own code.
"""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from alula.frontend.checkpoint import Checkpoint
from alula.frontend.configuration import one_line, quiet_transformers
from alula.frontend.families.family import Family
from alula.frontend.refusal import FrontendError
from alula.kept import kept
from alula.sources import sources_id

LAYERS = 2
WIDE = 2048
"""Above this hidden size one layer is compared, which then takes up to some gigabytes."""

ROWS = 512
"""Rows of the vocabulary and of the MLP that are enough."""

EDGE = 24
"""Positions compared at each end of the context."""

FARTHEST = 2**17
"""Positions beyond are not compared: Alula's reference keeps a table of rope up to the last one."""

TOLERANCE = 1e-4
"""Largest difference of equal logits, by their range: two orders of float32 operations differ by
some 1e-6 a layer, another activation or scale by 1e-3 and more."""

ROPE_TOLERANCE = 2.0**-23
"""Added for each position: float32 angles of rope are rounded to that, Alula's own are exact."""

FAINT = 0.05
"""Standard deviation of the embedding: small, so that the norms' epsilon matters."""


def check_reading(
    values: Mapping[str, Any],
    config: Any,
    family: Family,
    read: Callable[[Any], Checkpoint],
    where: object,
    code: str = "",
) -> None:
    """Compares, unless the same was compared before.

    Args:
        values: The contents of config.json, which the verdict is kept under.
        config: What transformers made of it.
        family: How it is read.
        read: Reads a transformers model in memory, as `load_pretrained`.
        where: The source, for messages.
        code: Identity of the code of another package that brings the family.

    Raises:
        FrontendError: transformers cannot build or run the model, or the logits differ.
    """
    import torch
    import transformers

    versions = [transformers.__version__, torch.__version__, sources_id("alula.frontend"), code]
    key = sha256(json.dumps([values, versions], sort_keys=True).encode()).hexdigest()

    def make(folder: Path) -> None:
        compare_reading(config, family, read, where)
        (folder / "equal").write_text("The reading and transformers' model gave equal logits.\n")

    try:
        kept("readings", key, make)
    except OSError:  # The cache cannot be written.
        compare_reading(config, family, read, where)


def compare_reading(
    config: Any, family: Family, read: Callable[[Any], Checkpoint], where: object
) -> None:
    """Compares now. Raises as `check_reading`."""
    import torch

    from alula.frontend.float_reference import FloatReference
    from alula.frontend.rounding import difference

    model = _small_model(config, family, where)
    reference = FloatReference(read(model))
    shape = reference.architecture
    positions = _positions(shape.max_context)
    ids = torch.randint(
        shape.vocab_size, (len(positions),), generator=torch.Generator().manual_seed(0)
    )
    try:
        with torch.no_grad(), quiet_transformers():
            theirs = model(
                ids[None],
                position_ids=torch.tensor([positions]),
                attention_mask=torch.ones(1, len(positions), dtype=torch.int64),
                use_cache=False,
            ).logits[0]
    except Exception as error:
        raise FrontendError(
            f"transformers must run the configuration, not fail: {one_line(error)} ({where})"
        ) from error
    hidden = reference.embed(ids, positions)
    for index in range(shape.layers):
        hidden = reference.layer(index, hidden, positions)
    differences = difference(reference.head(hidden), theirs)
    beyond = (differences > TOLERANCE + ROPE_TOLERANCE * torch.tensor(positions)).nonzero()
    if len(beyond):
        place = int(beyond[0])
        raise FrontendError(
            f"the configuration must be read as transformers reads it, not differ by "
            f"{differences[place]:.2g} of the range of logits at position {positions[place]} "
            f"({where})"
        )


def _positions(context: int) -> list[int]:
    """The first positions of a context, and the last ones that are compared."""
    context = min(context, FARTHEST)
    if context <= 2 * EDGE:
        return list(range(context))
    return [*range(EDGE), *range(context - EDGE, context)]


def _small_model(config: Any, family: Family, where: object) -> Any:
    """Transformers' own model of a configuration, cut, in float32, with weights that all count."""
    import torch
    from transformers import AutoModelForCausalLM

    small = _small(config, family)
    state = torch.random.get_rng_state()
    try:
        with quiet_transformers():
            torch.manual_seed(0)
            model = AutoModelForCausalLM.from_config(
                small, dtype=torch.float32, attn_implementation="eager"
            ).eval()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.ndim == 1:
                        center = 1.0 if name.endswith("weight") else 0.0
                        parameter.normal_(mean=center, std=0.2)
                    else:
                        parameter.normal_(std=parameter.shape[-1] ** -0.5)
                model.get_input_embeddings().weight.normal_(std=FAINT)
    except Exception as error:
        raise FrontendError(
            f"transformers must build the configuration, not fail: {one_line(error)} ({where})"
        ) from error
    finally:
        torch.random.set_rng_state(state)
    return model


def _small(config: Any, family: Family) -> Any:
    small = copy.deepcopy(config)
    layers = config.num_hidden_layers
    fewer = min(layers, LAYERS if config.hidden_size <= WIDE else 1)
    for name, value in vars(config).items():
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == layers:
            setattr(small, name, value[:fewer])
    small.num_hidden_layers = fewer
    small.vocab_size = min(config.vocab_size, ROWS)
    inner = getattr(config, family.inner)
    setattr(small, family.inner, ROWS if inner is None else min(inner, ROWS))
    small.pad_token_id = None
    small.dtype = None
    return small
