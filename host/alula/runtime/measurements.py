"""What was measured of a model on texts, kept in the cache by content as it comes."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from alula import files
from alula.folders import cache_folder, new_file
from alula.sources import sources_id

T = TypeVar("T")


@dataclass(frozen=True)
class Measurements:
    """A file of values by two names, as one of a matrix and one of a format."""

    place: Path

    @classmethod
    def of(cls, kind: str, *content: object) -> "Measurements":
        """Those of a kind, of all that they depend on beside the code."""
        code = sources_id("alula.compress", "alula.quant", "alula.frontend")
        key = json.dumps([*content, code])
        return cls(cache_folder() / kind / f"{sha256(key.encode()).hexdigest()}.json")

    def known(self, value: Callable[[Any], T]) -> dict[str, dict[str, T]]:
        """What was kept, each value read by `value`; nothing if the file is absent or damaged."""
        try:
            return {
                str(name): {str(title): value(one) for title, one in values.items()}
                for name, values in json.loads(files.read_bytes(self.place)).items()
            }
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def keep(self, found: Mapping[str, Mapping[str, object]]) -> None:
        """Write all that was measured."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        with new_file(self.place) as file:
            file.write(json.dumps(found).encode())
