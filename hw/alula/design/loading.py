"""Reads design files."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from alula.design.design import Design
from alula.design.error import DesignError, listed, shown
from alula.design.shipped import shipped_designs

MAX_FILE_BYTES = 1 << 20


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key that is no text", key.start_mark)
            if key.value in seen:
                problem = f"{shown(key.value)} given twice"
                raise ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_design(source: str | Path) -> Design:
    """Load a design from a YAML file, or by the name of one that ships with Alula.

    Args:
        source: path of a file, or a name such as "kv260".

    Raises:
        DesignError: there is no such file, or what it holds is no valid design.
    """
    path = Path(source)
    if not path.is_file():
        shipped = shipped_designs()
        if str(source) not in shipped:
            names = listed(sorted(shipped))
            raise DesignError(f"a design file, or {names}", "a path without a file", str(source))
        path = shipped[str(source)]
    return Design.from_mapping(read_yaml(path), str(path))


def read_yaml(path: Path) -> Any:
    """Return what a YAML file of at most 1 MiB holds; no key may be given twice.

    Raises:
        DesignError: there is no such file, or it is no valid YAML.
    """
    text = _text(path)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}: line {mark.line + 1}" if mark else str(path)
        raise DesignError("valid YAML", f"broken: {error.problem}", place) from None
    except RecursionError:
        raise DesignError("valid YAML", "nested this deep", str(path)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DesignError(
            "valid YAML", f"broken: {str(error).splitlines()[0]}", str(path)
        ) from None


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise DesignError("a design file of at most 1 MiB", f"{size} bytes", str(path))
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DesignError("a readable file", f"{error.strerror}", str(path)) from None
    except UnicodeDecodeError:
        raise DesignError("UTF-8 text", "other bytes", str(path)) from None
