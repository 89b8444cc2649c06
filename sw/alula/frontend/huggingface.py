"""Hugging Face models: a folder, or one already in memory with its configuration."""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from alula.frontend.binding import Shape, TensorSource, bind, some, surplus
from alula.frontend.checkpoint import Checkpoint
from alula.frontend.configuration import check_layers, read_config_file, read_configuration
from alula.frontend.content import content_id
from alula.frontend.families import Family, brought_by, family_names, find_family
from alula.frontend.families.comparison import check_reading
from alula.frontend.families.placing import Places
from alula.frontend.families.reading import read
from alula.frontend.families.refused import REFUSED
from alula.frontend.fields import Fields
from alula.frontend.refusal import Refusal, UnsupportedModel
from alula.frontend.safetensors_files import DTYPES, SafetensorsFiles, read_bytes
from alula.printable import printable
from alula.progress import Progress, silent

_CONFIG = "config.json"
_HEAD = "lm_head.weight"
_WITHOUT_EFFECT = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|attn\.(masked_)?bias)")
"""Tensors that old versions of transformers stored, and that it computes."""


def load_huggingface(folder: Path, progress: Progress = silent) -> Checkpoint:
    """A folder with config.json and safetensors as a Checkpoint.

    Nothing in the folder is executed. Weights stay on disk until asked for.

    Raises:
        FrontendError: A file is missing, unreadable or corrupt, or the tensors contradict the
            configuration.
        UnsupportedModel: The family, one of its options or a number type is not supported.
    """
    where = folder / _CONFIG
    values = read_config_file(folder)
    family = _family(printable(Fields(values, where).text("model_type")), where)
    if "configuration_files" in values:
        raise UnsupportedModel(
            where,
            [Refusal("model", "configuration_files", "config.json alone", "others", "one file")],
        )
    files = SafetensorsFiles(folder, values.get("transformers_weights"))
    check_layers(values, len(files.shapes), where)
    kinds = sorted(
        {kind for name, kind in files.dtypes.items() if not _WITHOUT_EFFECT.fullmatch(name)}
        - {*DTYPES}
    )
    if kinds:
        raise UnsupportedModel(
            folder, [Refusal("model", "number type", ", ".join(DTYPES), ", ".join(kinds), "BF16")]
        )
    configured = sha256(read_bytes(where)).hexdigest()
    tokenizer = any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")
    )
    config = read_configuration(folder)
    code = brought_by(config.model_type)
    brought = {"family": code} if code else {}
    checkpoint = _checkpoint(
        config,
        files.shapes,
        files.read,
        files.equal,
        where,
        source=folder,
        content_id=content_id({_CONFIG: configured, **brought, **files.digests(progress)}),
        tokenizer_source=folder if tokenizer else None,
        notes=files.notes,
    )
    check_reading(values, config, family, load_pretrained, where, code)
    return checkpoint


def load_pretrained(model: Any) -> Checkpoint:
    """A transformers model in memory, read through its configuration and state.

    Later changes to the model's weights show in the Checkpoint's tensors, not in its content id.
    Raises as `load_huggingface`.
    """
    source = f"{type(model).__module__}.{type(model).__qualname__}"
    state = model.state_dict()
    digest = sha256(json.dumps(model.config.to_dict(), sort_keys=True, default=str).encode())
    digest.update(brought_by(model.config.model_type).encode())
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return _checkpoint(
        model.config,
        {name: tuple(tensor.shape) for name, tensor in state.items()},
        lambda name: state[name].detach().cpu().float().numpy(),
        lambda first, second: bool((state[first] == state[second]).all()),
        source,
        source=source,
        content_id=digest.hexdigest(),
    )


def _family(name: str, where: object) -> Family:
    family = find_family(name)
    if family is not None:
        return family
    reason, known = REFUSED.get(name, "unknown architecture"), ", ".join(family_names())
    raise UnsupportedModel(where, [Refusal("model", reason, known, name, "llama")])


def _checkpoint(
    config: Any,
    table: Mapping[str, Shape],
    read_tensor: Callable[[str], Any],
    equal: Callable[[str, str], bool],
    where: object,
    *,
    notes: tuple[str, ...] = (),
    **about: Any,
) -> Checkpoint:
    family = _family(config.model_type, where)
    embedding = f"{family.names['embed']}.weight"
    prefix = next((p for p in family.prefixes if p + embedding in table), family.prefixes[0])
    embedding = prefix + embedding
    found = list(notes)
    tied = bool(config.tie_word_embeddings)
    if tied and _HEAD in table:
        if embedding not in table:
            embedding = _HEAD
        elif table[embedding] != table[_HEAD] or not equal(embedding, _HEAD):
            tied = False
            found.append(
                f"{_HEAD} is used: it differs from the embedding that it should be tied to"
            )
    largest = max((size for shape in table.values() for size in shape), default=0)
    reading = read(family, config, tied, largest, where)
    places = Places(family, reading, prefix, embedding, _HEAD)
    pieces = bind(reading.architecture, places.place, table, where)
    idle = {name for name in table if _WITHOUT_EFFECT.fullmatch(name)}
    unused = surplus(
        pieces, table, config.model_type, lambda name: name in idle or (tied and name == _HEAD)
    )
    if unused:
        raise UnsupportedModel(where, unused)
    if idle:
        found.append(f"tensors that nothing depends on are not read: {some(sorted(idle))}")

    def reader(piece: TensorSource) -> Callable[[], Any]:
        return lambda: piece.read(read_tensor)

    return Checkpoint(
        reading.architecture,
        {name: reader(piece) for name, piece in pieces.items()},
        notes=(*reading.notes, *found),
        **about,
    )
