"""The child process that runs tokenizers and chat templates, and what it may use.

Each request has a budget of processor time and memory, which the kernel keeps: a timer of the time
that the process spends, and a limit on its address space. Neither Python nor a library can pass
over them, and a process that waits or is starved by others loses nothing. Where the time is up the
kernel ends the process; its parent starts another one for the next request.

What is kept between requests is the tokenizers themselves. A request costs some 50 microseconds,
the process 0.1 s when it starts, and the first conversation what importing transformers takes,
which a process without this one would spend as well.
"""

import os
import resource
import signal
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alula.text.budget import Budget
from alula.text.errors import NotLoadedError, TextError, reason
from alula.text.frames import read_frame, write_frame
from alula.text.tokenizer import Tokenizer

_KEPT = 4
"""Tokenizers that stay loaded."""


class Server:
    """Answers requests with the tokenizers that it keeps."""

    def __init__(self) -> None:
        self._tokenizers: OrderedDict[str, Tokenizer] = OrderedDict()

    def load(self, folder: str) -> None:
        """Load the tokenizer in a folder. The others need it to be loaded."""
        tokenizer = Tokenizer.load(Path(folder))
        # What is made when it is first wanted is part of loading it.
        with suppress(TextError):
            tokenizer.decode(tokenizer.encode("a"))
        self._tokenizers[folder] = tokenizer
        if len(self._tokenizers) > _KEPT:
            self._tokenizers.popitem(last=False)

    def encode(self, folder: str, text: str, special: bool) -> list[int]:
        """Return the ids of a text."""
        return self._tokenizer(folder).encode(text, special)

    def decode(self, folder: str, ids: list[int]) -> str:
        """Return the text of ids."""
        return self._tokenizer(folder).decode(ids)

    def encode_chat(self, folder: str, messages: list[dict[str, Any]]) -> list[int]:
        """Return the ids of a conversation."""
        return self._tokenizer(folder).encode_chat(messages)

    def convert(self, source: str, target: str, name: str) -> None:
        """Make the tokenizer of a Hugging Face folder, known as `name`, one that `load` reads."""
        from alula.text.conversion import convert

        convert(Path(source), name).save(Path(target))

    def _tokenizer(self, folder: str) -> Tokenizer:
        if folder not in self._tokenizers:
            raise NotLoadedError
        self._tokenizers.move_to_end(folder)
        return self._tokenizers[folder]


def main() -> None:
    """Answer the requests on standard input, on standard output, until the parent closes it."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library prints must not come between the answers.
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Without torch transformers starts in half the time, and neither tokenizers nor templates
    # use it.
    sys.modules["torch"] = None  # type: ignore[assignment]
    server = Server()
    while True:
        try:
            method, arguments, allowed = read_frame(requests)
        except EOFError:
            return
        _prepare(method)
        with bounded(Budget(**allowed)):
            answer = _answer(getattr(server, method), arguments)
        write_frame(answers, answer)


def _prepare(method: str) -> None:
    """Import what a request needs, which is not its own time and memory."""
    if method == "encode_chat":
        import transformers.utils.chat_template_utils  # noqa: F401
    if method == "convert":
        from transformers import AutoConfig, AutoTokenizer  # noqa: F401


def _answer(method: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"value": method(*arguments)}
    except TextError as error:
        return {"refused": str(error)}
    except NotLoadedError:
        return {"absent": True}
    except Exception as error:
        return {"failed": reason(error)}


@contextmanager
def bounded(budget: Budget) -> Iterator[None]:
    """Bound a block: with more processor time this process ends, more memory it does not get."""
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = _address_space() + budget.memory
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(
        resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most)
    )
    signal.setitimer(signal.ITIMER_PROF, budget.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


def _address_space() -> int:
    """Return the bytes of address space that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
