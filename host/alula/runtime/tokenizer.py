"""A model's tokenizer and chat template, run with bounds on time and memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alula.runtime.errors import TokenizerError
from alula.text.budget import Budget
from alula.text.errors import NotLoadedError, TextError
from alula.text.process import TEXT_PROCESS
from alula.text.tokenizer import (
    IDS_FAIL,
    LOAD_FAILS,
    TEMPLATE_FAILS,
    TEXT_FAILS,
    Message,
    Settings,
    Tokenizer,
    as_json,
)


class BoundedTokenizer:
    """A model's tokenizer with its chat template.

    Both run in the text process, `alula.text`, and whatever they do there ends within seconds, as
    one line, and leaves this process as it is.

    Args:
        folder: what `alula.text.tokenizer.Tokenizer.save` has written.

    Raises:
        TokenizerError: it cannot be loaded.
        OSError: it is not there.
        ValueError: it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        files = [folder / name for name in Tokenizer.FILES]
        self.settings = Settings.load(files[1])
        self._folder = str(folder)
        self._load_budget = Budget.of_file(files[0].stat().st_size)
        self._load()

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return self.settings.stop_ids

    @property
    def has_chat(self) -> bool:
        """Whether the model has a chat template."""
        return self.settings.has_chat

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text; `special` adds what the model wants around it.

        TokenizerError if the tokenizer fails or takes more than it may.
        """
        return self._call(TEXT_FAILS, "encode", len(text), text, special)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens; bytes that are no UTF-8 become U+FFFD.

        Ids that have no token give no text. TokenizerError as for `encode`.
        """
        return self._call(IDS_FAIL, "decode", len(ids), [int(value) for value in ids])

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation, ready for the assistant's answer.

        Raises:
            TokenizerError: there is no template, it does not take this conversation, or it takes
                more than it may.
        """
        with told():
            given = as_json(messages)
        size = sum(len(str(value)) for message in given for value in message.values())
        return self._call(TEMPLATE_FAILS, "encode_chat", size, given)

    def _load(self) -> None:
        with told():
            TEXT_PROCESS.call(LOAD_FAILS, "load", self._folder, budget=self._load_budget)

    def _call(self, what: str, method: str, size: int, *arguments: Any) -> Any:
        """Call a method of the server, which may be new, or have others loaded since."""
        budget = Budget.of_text(size)
        with told():
            try:
                return TEXT_PROCESS.call(what, method, self._folder, *arguments, budget=budget)
            except NotLoadedError:
                self._load()
                return TEXT_PROCESS.call(what, method, self._folder, *arguments, budget=budget)


@contextmanager
def told() -> Iterator[None]:
    """Turn a TextError of the block into a TokenizerError."""
    try:
        yield
    except TextError as error:
        raise TokenizerError(str(error)) from None
