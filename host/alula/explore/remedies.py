"""What fixes a number that is too large or too small: which fields to change, and which way."""

from collections.abc import Mapping

LESS = {
    "lut": "fewer mpe.tokens or sfu.lanes",
    "ff": "fewer mpe.tokens or sfu.lanes",
    "dsp": "fewer mpe.tokens, or fewer chains (memory.beat_bytes, memory.channels)",
    "bram36": "smaller buffers",
    "uram": "smaller buffers",
    "watts": "a smaller part, or fewer bytes a second",
    "bytes": "a recipe of fewer bits, or a shorter context",
    "perplexity": "a recipe of more bits",
    "perplexity_ratio": "a recipe of more bits",
    "ttft_s": "more mpe.tokens or more chains (memory.beat_bytes, memory.channels)",
}
"""What makes less of an objective."""
FASTER = {
    "memory": "more bandwidth (memory.beat_bytes, memory.channels), or a recipe of fewer bits",
    "compute": "more chains (memory.beat_bytes, memory.channels) or sfu.lanes",
    "issue": "fewer, longer instructions: more sfu.lanes, a larger prefill_chunk",
    "dependency": "more sfu.lanes, larger buffers",
}
"""What makes a token faster, by what most of its cycles wait for."""
_OF_TIME = ("tokens_per_s", "tokens_per_s_w", "energy_j")


def remedy_of(name: str, accounts: Mapping[str, float]) -> str:
    """Return what fixes an objective that misses its limit.

    Args:
        name: of the objective.
        accounts: the token's cycles by what it waits for; empty if they are not known.
    """
    if name in _OF_TIME:
        waits = max(accounts, key=lambda one: accounts[one]) if accounts else "memory"
        return FASTER[waits]
    return LESS.get(name, "another value of the axes")
