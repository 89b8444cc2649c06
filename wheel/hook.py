"""How an editable install knows `alula.__version__`.

A wheel holds `alula/__init__.py`. An editable install must not: type checkers that find a package
beside the source roots look for everything in it. So it gets a line of Python instead, which puts
this folder on the path, and which they do not read.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableVersion(BuildHookInterface):
    """Adds a path file to editable installs, in place of what wheels hold."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Change what an editable install is given; hatchling calls it."""
        if version != "editable":
            return
        line = f"import sys; sys.path.append({str(Path(self.root, 'wheel'))!r})\n"
        self._scratch = tempfile.mkdtemp()
        file = Path(self._scratch, "path")
        file.write_text(line, encoding="utf-8")
        build_data["force_include_editable"] = {str(file): "alula_package.pth"}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what `initialize` made; hatchling calls it."""
        if version == "editable":
            shutil.rmtree(self._scratch)
