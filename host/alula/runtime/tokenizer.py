"""Text to token ids and back, and chat templates, from the model's own files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer as Backend

from alula.runtime.errors import TokenizerError

Message = Mapping[str, str]
"""One turn of a conversation: "role" (system, user, assistant) and "content"."""


@dataclass(frozen=True)
class Settings:
    """What a tokenizer's own file does not say.

    Attributes:
        chat_template: Jinja text; None if the model has none.
        stop_ids: tokens that end an answer.
        special_tokens: text by name ("bos_token", "eos_token"), which templates may use.
    """

    chat_template: str | None
    stop_ids: tuple[int, ...]
    special_tokens: Mapping[str, str]


class Tokenizer:
    """A model's tokenizer with its chat template.

    Attributes:
        settings: chat template, stop tokens and the like.
    """

    FILES = ("tokenizer.json", "settings.json")

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self._backend = backend
        self.settings = settings

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        return self.settings.stop_ids

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text; `special` adds what the model wants at its start."""
        return self._backend.encode(text, add_special_tokens=special).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens; bytes that are no UTF-8 become U+FFFD."""
        return self._backend.decode(ids, skip_special_tokens=True)

    @property
    def has_chat(self) -> bool:
        """Whether the model has a chat template."""
        return self.settings.chat_template is not None

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation, ready for the assistant's answer.

        Raises:
            TokenizerError: there is no template, or it does not take this conversation.
        """
        if self.settings.chat_template is None:
            raise TokenizerError(
                "a conversation needs a model with a chat template, not one without"
            )
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            (text,), _ = render_jinja_template(
                [[dict(message) for message in messages]],
                chat_template=self.settings.chat_template,
                add_generation_prompt=True,
                **dict[str, Any](self.settings.special_tokens),
            )
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TokenizerError(
                f"the model's chat template must take this, not fail: {reason}"
            ) from None
        return self.encode(text, special=False)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's two files into a folder."""
        tokenizer, settings = (folder / name for name in self.FILES)
        tokenizer.write_text(self._backend.to_str(), encoding="utf-8")
        settings.write_text(json.dumps(self.settings.__dict__), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. OSError or ValueError if it is not there or damaged."""
        tokenizer, settings = (folder / name for name in cls.FILES)
        values: dict[str, Any] = json.loads(settings.read_text(encoding="utf-8"))
        return cls(
            backend_from_text(tokenizer.read_text(encoding="utf-8"), tokenizer),
            Settings(
                values["chat_template"], tuple(values["stop_ids"]), dict(values["special_tokens"])
            ),
        )


def backend_from_text(text: str, where: Path) -> Backend:
    """Return the tokenizer that a tokenizer.json holds. TokenizerError if it holds none."""
    try:
        return Backend.from_str(text)
    except Exception as error:
        raise TokenizerError(f"{where} must be a tokenizer, not: {error}") from None
