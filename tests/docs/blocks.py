"""Code blocks of a page: files are written, Python and shell run, outputs compared.

A fenced block has a language. `title="NAME"` makes it a file; `python` and `sh` run, one after the
other in one folder; `text` right behind one of them is what it prints, where `...` stands for
anything. A comment `<!-- test: MARK -->` in front of a block that runs says what it needs: `rtl`,
`slow` or `network`.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKS = {"rtl", "slow", "network"}
ILLUSTRATIONS = {"text", "mermaid", "verilog", "asm"}
_FENCE = re.compile(
    r"(?:<!-- test: (?P<marks>[\w ]+) -->\n+)?"
    r'^```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?[^\n]*\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block: `line` is where it begins, `expects` what it must print, if told."""

    language: str
    text: str
    line: int
    title: str | None = None
    marks: frozenset[str] = frozenset()
    expects: str | None = None

    @property
    def runs(self) -> bool:
        """Whether it is executed."""
        return self.language in ("python", "sh") and self.title is None


def pages() -> list[Path]:
    """All pages: the documentation and the texts at the top."""
    return sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, an output with what prints it."""
    text = page.read_text(encoding="utf-8")
    held: Block | None = None
    end = 0
    for found in _FENCE.finditer(text):
        block = Block(
            found["language"],
            found["text"],
            text.count("\n", 0, found.start("language")) + 1,
            found["title"],
            frozenset((found["marks"] or "").split()),
        )
        directly = not text[end : found.start()].strip()
        end = found.end()
        if held is not None and held.runs and block.language == "text" and directly:
            yield Block(held.language, held.text, held.line, None, held.marks, block.text)
            held = None
            continue
        if held is not None:
            yield held
        held = block
    if held is not None:
        yield held


class Runner:
    """Runs blocks in a folder with README.md and designs; Python blocks share their names.

    Raises:
        AssertionError: a block fails or prints something else, with its line.
    """

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        for name in ("README.md", "designs"):
            (folder / name).symlink_to(ROOT / name)
        self.names: dict[str, object] = {"__name__": "__page__"}

    def run(self, block: Block) -> None:
        """Write or run one block."""
        if block.title is not None:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.runs:
            printed = self._python(block) if block.language == "python" else self._shell(block)
            if block.expects is not None:
                parts = (re.escape(part) for part in block.expects.strip().split("..."))
                where = f"{self.page.name}:{block.line}"
                assert re.search(".*".join(parts), printed, re.DOTALL), f"{where} prints\n{printed}"

    def _python(self, block: Block) -> str:
        printed = io.StringIO()
        code = compile("\n" * block.line + block.text, str(self.page), "exec")
        sys.path.insert(0, str(self.folder))
        try:
            with contextlib.redirect_stdout(printed), contextlib.chdir(self.folder):
                exec(code, self.names)
        finally:
            sys.path.remove(str(self.folder))
            for path in self.folder.glob("*.py"):
                sys.modules.pop(path.stem, None)
        return printed.getvalue()

    def _shell(self, block: Block) -> str:
        # A target of the Makefile is only looked up: it would test the tests.
        text = re.sub(r"(?m)^make (?=\w)", f"make -n -C {ROOT} ", block.text)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, f"{self.page.name}:{block.line} fails:\n{done.stdout}"
        return done.stdout
