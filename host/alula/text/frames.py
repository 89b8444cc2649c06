"""Messages between the text process and its parent: JSON with its length in front."""

import json
import struct
from typing import Any, BinaryIO

_LENGTH = struct.Struct("<Q")

LONGEST = 1 << 28
"""Bytes that a message may have."""


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Write one message; lone surrogates in it pass as they are. ValueError if it is too long."""
    data = json.dumps(value).encode()
    if len(data) > LONGEST:
        raise ValueError(f"a message must be at most {LONGEST} bytes, not {len(data)}")
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """Return the next message. EOFError if the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return json.loads(_exactly(stream, length))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
