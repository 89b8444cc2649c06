"""Texts to calibrate and to test on: windows of tokens out of files and folders."""

import gzip
import random
import zlib
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import chain, islice
from pathlib import Path

from alula.files import MOST_TEXT_BYTES, open_regular
from alula.runtime.errors import PromptError
from alula.runtime.tokenizer import BoundedTokenizer

_PIECE = 8192
"""Characters of a piece; windows lie within one."""
_MOST_FILES = 1 << 18
_HTML = (".html", ".htm", ".xhtml")
_UNSEEN = ("script", "style", "head")


def draw_windows(
    paths: Sequence[Path],
    tokenizer: BoundedTokenizer,
    *,
    windows: int,
    tokens: int,
    seed: int,
    purpose: str = "",
) -> list[list[int]]:
    """Return windows of a text, drawn at random from all of its files alike.

    Args:
        paths: files, or folders of them. Of folders what is no UTF-8 text is left out. Files that
            end in .gz are unpacked, and of HTML there is the text. A file that is there twice, by
            a link or by two names, is read once.
        tokenizer: the model's.
        windows: how many.
        tokens: of a window.
        seed: of the drawing; the same files and seed give the same windows.
        purpose: what they are for, behind their number in an error's text.

    Raises:
        PromptError: there are fewer, or a file that is named is no text.
        TokenizerError: the tokenizer fails.
        OSError: a path cannot be read.
    """
    files, draw = _files(paths), random.Random(seed)
    draw.shuffle(files)
    share = -(-windows // max(1, len(files)))
    begun: list[Iterator[list[int]]] = []
    found: list[list[int]] = []
    for path, named in files:
        begun.append(_windows(_text(path, named), tokenizer, tokens, draw))
        found += islice(begun[-1], min(share, windows - len(found)))
        if len(found) == windows:
            return found
    found += islice(chain.from_iterable(begun), windows - len(found))
    if len(found) < windows:
        raise PromptError(
            f"the text must have {windows} windows of {tokens} tokens{purpose}, not {len(found)} "
            f"({', '.join(map(str, paths))})"
        )
    return found


def _windows(
    text: str, tokenizer: BoundedTokenizer, tokens: int, draw: random.Random
) -> Iterator[list[int]]:
    """Windows of a text, its pieces in random order."""
    places = list(range(0, len(text), _PIECE))
    draw.shuffle(places)
    for place in places:
        ids = tokenizer.encode(text[place : place + _PIECE], special=False)
        for at in range(0, len(ids) - tokens + 1, tokens):
            yield ids[at : at + tokens]


def text_of(path: Path) -> str:
    """Return the text of a file, read as `draw_windows` reads one.

    PromptError if it is none, OSError if it cannot be read.
    """
    return _text(path, named=True)


def _files(paths: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Every file once, links to it left out, and whether it was named itself."""
    found: dict[Path, tuple[Path, bool]] = {}
    for path in paths:
        inside = path.is_dir()
        for file in sorted(path.rglob("*")) if inside else [path]:
            if file.is_file() or not inside:
                found.setdefault(file.resolve(), (file, not inside))
        if len(found) > _MOST_FILES:
            raise PromptError(f"a folder must have at most {_MOST_FILES} files, not more ({path})")
    return list(found.values())


def _text(path: Path, named: bool) -> str:
    """A file's text; "" of one in a folder that has none."""
    try:
        with open_regular(path) as file:
            packed = path.suffix == ".gz"
            content = (gzip.GzipFile(fileobj=file) if packed else file).read(MOST_TEXT_BYTES)
        text = content.decode(errors="strict" if len(content) < MOST_TEXT_BYTES else "ignore")
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError):
        if named:
            raise PromptError(f"the file must be UTF-8 text, not other bytes ({path})") from None
        return ""
    kind = path.with_suffix("").suffix if packed else path.suffix
    if kind in _HTML:
        reader = _HtmlText()
        reader.feed(text)
        reader.close()
        text = reader.text
    # What is no text: binary files that happen to be UTF-8.
    return "" if "\0" in text and not named else text


class _HtmlText(HTMLParser):
    """Gathers the text of a page, a line for each run of it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._unseen = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Go into an element."""
        self._unseen += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._unseen -= tag in _UNSEEN and self._unseen > 0

    def handle_data(self, data: str) -> None:
        """Take text that is seen."""
        if not self._unseen:
            self._parts.append(data)
