"""Heads of whole groups: what is added to a shape so that the number formats hold it.

Hidden and intermediate sizes need nothing: rows may end inside a group, and the machine takes the
rest of the group as zeros. Heads lie side by side in a row, so each must be whole groups.
"""

from dataclasses import replace

from alula.ir.architecture import Architecture
from alula.ir.graph import whole_groups


def pad_heads(architecture: Architecture) -> Architecture:
    """The same model with heads of whole groups, the elements that are added being zeros.

    The pairs that rope turns together stay pairs: each half of a head is padded at its end, and the
    pairs that are added do not turn. A model whose heads are whole groups is returned as it is.
    """
    padded = whole_groups(architecture.head_dim)
    if padded == architecture.head_dim:
        return architecture
    frequencies = architecture.rope_inverse_frequencies
    if frequencies is not None:
        frequencies += (0.0,) * (padded // 2 - len(frequencies))
    return replace(
        architecture,
        head_dim=padded,
        head_padding=padded - architecture.used_head_dim,
        rope_inverse_frequencies=frequencies,
    )


def head_places(used: int, padded: int) -> tuple[int, ...]:
    """The place of each of a head's `used` elements among its `padded` ones: half by half."""
    first = -(-used // 2)
    return (*range(first), *range(padded // 2, padded // 2 + used - first))
