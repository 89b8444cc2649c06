"""A configuration as transformers reads it: its own class, with its defaults and conversions."""

import dataclasses
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alula.frontend.refusal import FrontendError
from alula.frontend.safetensors_files import read_json
from alula.printable import printable

LARGEST = 2**53
"""No number of a configuration may be larger: integers up to here are exact as floats."""

_WRONG_TYPE = re.compile(
    r"Field '(\w+)' (?:expected|.*?Errors:.*?expected) (\w+), got \w+ \(value: (.*?)\)(?:;|$)",
    re.DOTALL,
)


class Attributes(Mapping[str, Any]):
    """A transformers configuration as a mapping that knows which keys were read.

    A key may have the name that all families share (``hidden_size``) where the class has another
    (``n_embd``). What the configuration does not have is missing.
    """

    def __init__(self, config: Any) -> None:
        self.config = config
        self.names: dict[str, str] = type(config).attribute_map
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(self.names.get(key, key))
        try:
            return getattr(self.config, key)
        except AttributeError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.config.to_dict())

    def __len__(self) -> int:
        return len(self.config.to_dict())

    def unread(self, idle: frozenset[str]) -> Iterator[tuple[str, Any, Any]]:
        """Declared keys that were not read and are not ``idle``: name, default and value.

        Only those that are not at the default of their class, since a default is proved with the
        family.
        """
        for field in dataclasses.fields(self.config):
            if field.name in self.read or field.name in idle:
                continue
            default = field.default
            if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            value = getattr(self.config, field.name, None)
            if value != default:
                yield field.name, default, value


def read_config_file(folder: Path) -> Mapping[str, Any]:
    """The contents of config.json. FrontendError if it is unreadable or a number is too large."""
    path = folder / "config.json"
    values = read_json(path)
    _check_numbers(values, str(path))
    return values


def check_layers(values: Mapping[str, Any], tensors: int, where: object) -> None:
    """FrontendError if a configuration counts more layers than there are tensors.

    It comes before transformers' own class, which makes lists of as many items as layers.
    """
    for key in ("num_hidden_layers", "n_layer"):
        layers = values.get(key)
        if isinstance(layers, int) and layers > tensors:
            raise FrontendError(
                f"the tensors must be complete, not {tensors} for {layers} layers ({where})"
            )


def read_configuration(folder: Path) -> Any:
    """The folder's configuration by transformers, without network and without code of the folder.

    Raises:
        FrontendError: transformers refuses it.
    """
    from transformers import AutoConfig

    with quiet_transformers():
        try:
            return AutoConfig.from_pretrained(
                str(folder), trust_remote_code=False, local_files_only=True
            )
        except Exception as error:
            raise FrontendError(_complaint(error, folder / "config.json")) from error


def _complaint(error: Exception, path: Path) -> str:
    """What transformers does not like about a configuration, in Alula's words where they fit."""
    typed = _WRONG_TYPE.search(str(error))
    if typed:
        key, wanted, value = typed.groups()
        return f"must be of type {wanted}, not {one_line(value)} ({path}: {key})"
    reason = one_line(error.__cause__ or error)
    return f"{path} must be a configuration that transformers takes, not so: {reason}"


def one_line(message: object) -> str:
    """What an exception or a value says, in one printable line of reasonable length."""
    text = printable(" ".join(str(message).split())) or type(message).__name__
    return text if len(text) <= 300 else text[:297] + "..."


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Transformers logs nothing: Alula checks itself what it warns of, and tells what it raises."""
    from transformers.utils import logging as verbosity

    before = verbosity.get_verbosity()
    verbosity.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        verbosity.set_verbosity(before)


def _check_numbers(value: Any, place: str, key: str = "") -> None:
    """FrontendError if a number anywhere in ``value`` is not finite or beyond `LARGEST`."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_numbers(item, place, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            _check_numbers(item, place, key)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST:
        shown = f"a number of {len(str(value))} digits" if isinstance(value, int) else repr(value)
        raise FrontendError(f"must be at most 2**53, not {shown} ({place}: {key})")
