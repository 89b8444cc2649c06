"""Reads design files."""

from pathlib import Path
from typing import Any

from alula.design.design import Design
from alula.design.error import DesignError
from alula.design.plain_yaml import PlainYamlError, parse
from alula.design.shipped import named_file, shipped_designs
from alula.files import open_regular

MAX_FILE_BYTES = 1 << 20


def load_design(source: str | Path) -> Design:
    """Load a design from a YAML file, or by the name of one that ships with Alula.

    Args:
        source: path of a file, or a name such as "kv260".

    Raises:
        DesignError: there is no such file, or what it holds is no valid design.
    """
    path = named_file(source, shipped_designs(), "design")
    return Design.from_mapping(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Return what a YAML file of at most 1 MiB holds, in `alula.design.plain_yaml`'s terms.

    Raises:
        DesignError: there is no such file, or it is no such YAML.
    """
    text = _text(path)
    try:
        return parse(text)
    except PlainYamlError as error:
        place = f"{path}: line {error.line}" if error.line else str(path)
        raise DesignError("plain YAML", f"{error}", place) from None


def _text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise DesignError("a readable file", f"{error.strerror}", str(path)) from None
    if len(content) > MAX_FILE_BYTES:
        raise DesignError("a design file of at most 1 MiB", "a larger one", str(path))
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise DesignError("UTF-8 text", "other bytes", str(path)) from None
