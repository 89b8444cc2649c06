"""Text to token ids and back, and chat templates, from the model's own files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from alula.text.errors import TextError, refused
from alula.text.gguf.tokenizer import GgufTokenizer
from alula.text.library import LibraryTokenizer

Message = Mapping[str, Any]
"""One turn of a conversation: "role" (system, user, assistant) and "content", both text.

Whatever else it holds is for the template to look at.
"""

LOAD_FAILS = "the model's tokenizer must load, not fail"
TEXT_FAILS = "the model's tokenizer must take this text, not fail"
IDS_FAIL = "the model's tokenizer must take these token ids, not fail"
TEMPLATE_FAILS = "the model's chat template must take this, not fail"


@dataclass(frozen=True)
class Settings:
    """What a tokenizer's own file does not say.

    Attributes:
        chat_template: Jinja text; None if the model has none.
        stop_ids: tokens that end an answer.
        special_tokens: text by name ("bos_token", "eos_token"), which templates may use.
        named_templates: names of the chat templates, where there are several and no default.
        own_texts: what transformers gives a meaning beyond a token's; no text may hold it.
        split_special_tokens: whether special tokens in a text are read as plain text.
        gguf: whether the tokenizer is a GGUF file's.
    """

    chat_template: str | None
    stop_ids: tuple[int, ...]
    special_tokens: Mapping[str, str]
    named_templates: tuple[str, ...] = ()
    own_texts: tuple[str, ...] = ()
    split_special_tokens: bool = False
    gguf: bool = False

    @property
    def has_chat(self) -> bool:
        """Whether the model has a chat template."""
        return self.chat_template is not None or bool(self.named_templates)

    def save(self, file: Path) -> None:
        """Write the settings as JSON."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read what `save` wrote. OSError or ValueError if it is not there or damaged."""
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        try:
            values |= {
                name: tuple(values[name]) for name in ("stop_ids", "named_templates", "own_texts")
            }
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file} must be a tokenizer's settings, not: {error}") from None


class Backend(Protocol):
    """What turns text into ids and back."""

    def encode(self, text: str, special: bool) -> list[int]:
        """Return the ids of a text; `special` adds what the model wants around it."""
        ...

    def encode_chat(self, text: str) -> list[int]:
        """Return the ids of a conversation's text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens."""
        ...

    def to_str(self) -> str:
        """Return all of it as text."""
        ...


class Tokenizer:
    """A model's tokenizer with its chat template, without bounds on time and memory.

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

    @property
    def has_chat(self) -> bool:
        """Whether the model has a chat template."""
        return self.settings.has_chat

    def encode(self, text: str, special: bool = True) -> list[int]:
        """Return the ids of a text; `special` adds what the model wants around it.

        TextError if the text holds a lone surrogate or the tokenizer fails.
        """
        self._check("the text", text)
        with refused(TEXT_FAILS):
            return self._backend.encode(text, special)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens; bytes that are no UTF-8 become U+FFFD.

        Ids that have no token give no text. TextError if the tokenizer fails.
        """
        with refused(IDS_FAIL):
            return self._backend.decode(ids)

    def encode_chat(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation, ready for the assistant's answer.

        Raises:
            TextError: there is no template, or it does not take this conversation.
        """
        text = self.render(messages)
        with refused(TEXT_FAILS):
            return self._backend.encode_chat(text)

    def render(self, messages: Sequence[Message]) -> str:
        """Return the text of a conversation. TextError as for `encode_chat`."""
        template = self._template()
        check_messages(messages, template)
        from transformers.utils.chat_template_utils import render_jinja_template

        with refused(TEMPLATE_FAILS):
            (text,), _ = render_jinja_template(
                [[_given(message) for message in messages]],
                chat_template=template,
                add_generation_prompt=True,
                **dict[str, Any](self.settings.special_tokens),
            )
        self._check("what the model's chat template gives", text)
        return text

    def _check(self, what: str, text: str) -> None:
        """TextError if a text is none that can be encoded."""
        check_unicode(what, text)
        for own in self.settings.own_texts:
            if own in text:
                raise TextError(f"{what} must be without {own!r}, which is not supported")

    def _template(self) -> str:
        if self.settings.chat_template is not None:
            return self.settings.chat_template
        if self.settings.named_templates:
            names = ", ".join(self.settings.named_templates)
            raise TextError(
                f"one of the model's chat templates must be the default, not none of {names}"
            )
        raise TextError("a conversation needs a model with a chat template, not one without")

    def save(self, folder: Path) -> None:
        """Write the tokenizer's two files into a folder."""
        tokenizer, settings = (folder / name for name in self.FILES)
        tokenizer.write_text(self._backend.to_str(), encoding="utf-8")
        self.settings.save(settings)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. OSError or ValueError if it is not there or damaged."""
        file, settings_file = (folder / name for name in cls.FILES)
        text, settings = file.read_text(encoding="utf-8"), Settings.load(settings_file)
        if settings.gguf:
            return cls(GgufTokenizer.from_str(text), settings)
        with refused(f"{file} must be a tokenizer, not"):
            return cls(LibraryTokenizer.from_str(text, settings.split_special_tokens), settings)


_ROLES = ("system", "user", "assistant")


def as_json(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as JSON has them. TextError if one cannot be."""
    found = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise TextError(f"message {index} must have a role and a content, not be {message!r}")
        try:
            found.append(json.loads(json.dumps(dict(message))))
        except (TypeError, ValueError, RecursionError) as error:
            raise TextError(f"message {index} must hold what JSON has, not: {error}") from None
    return found


def check_messages(messages: Sequence[Message], template: str) -> None:
    """Check that a template can have meant these messages; many pass over what they do not know.

    TextError if the role or the content of one is missing or no text, or the role is neither a
    usual one nor named in the template.
    """
    for index, message in enumerate(messages):
        for key in ("role", "content"):
            if key not in message:
                found = ", ".join(map(str, message)) or "nothing"
                raise TextError(f"message {index} must have a {key}, not only {found}")
            if not isinstance(message[key], str):
                raise TextError(f"message {index}: {key} must be text, not {message[key]!r}")
            check_unicode(f"message {index}: {key}", message[key])
        role = message["role"]
        if role not in _ROLES and (not role or role not in template):
            raise TextError(
                f"message {index}: role must be {', '.join(_ROLES)} or one that the model's chat "
                f"template names, not {role!r}"
            )


def _given(message: Message) -> dict[str, Any]:
    """Return what of a message is given, as transformers does: keys with None are as absent."""
    return {key: value for key, value in message.items() if value is not None}


def check_unicode(what: str, text: str) -> None:
    """TextError where a text holds half of a character (a lone surrogate), which has no bytes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{what} must be Unicode, not hold a lone surrogate (character {error.start})"
        ) from None
