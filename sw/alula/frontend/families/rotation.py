"""The rope of a configuration, in the form that `Architecture` has: half-split over whole heads."""

from dataclasses import dataclass

from alula.frontend import rope
from alula.frontend.families.family import Family
from alula.frontend.fields import Fields
from alula.frontend.refusal import FrontendError, Refusal

KINDS = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")
"""The values of ``rope_type`` that are read."""

_LARGEST = 3e38


@dataclass(frozen=True)
class FamilyRotation:
    """How a family turns queries and keys.

    Attributes:
        frequencies: Radians a position for the ``head_dim / 2`` pairs of canonical order; 0 where a
            pair is not rotated.
        order: The element of a stored head at each place of a canonical one; None if it is its own.
        gain: On rotated elements, in stored order the first ``rotated`` ones.
        rotated: How many elements of a head turn.
        context: Tokens up to which this holds.
    """

    frequencies: tuple[float, ...]
    order: tuple[int, ...] | None
    gain: float
    rotated: int
    context: int


def read_rotation(
    family: Family, config: Fields, head_dim: int, refusals: list[Refusal]
) -> FamilyRotation:
    """The rope of a configuration that transformers has standardised.

    Raises:
        FrontendError: A value is missing or of another type, or the numbers give no frequencies.
    """
    table = config.table("rope_parameters")
    partial = table.real("partial_rotary_factor", 1.0)
    if partial != 1 and not (family.partial_rope and 0 < partial < 1):
        limit = "above 0, up to 1" if family.partial_rope else "the whole head"
        refusals.append(
            Refusal("attn", "partial_rotary_factor", limit, f"{partial:g}", "the whole head")
        )
        partial = 1.0
    rotated = int(head_dim * partial)
    if rotated % 2:
        refusals.append(
            Refusal("attn", "rotated elements of a head", "even", str(rotated), str(rotated + 1))
        )
        rotated -= 1
    try:
        frequencies, gain, context = _scaled(table, config, rotated, refusals)
    except (ArithmeticError, ValueError) as error:
        if isinstance(error, FrontendError):
            raise
        raise FrontendError(
            f"rope_parameters must give frequencies, not {error} ({table.where})"
        ) from error
    if not all(abs(frequency) <= _LARGEST for frequency in frequencies):
        raise FrontendError(f"rope_parameters must give finite frequencies ({table.where})")
    if table.real("llama_4_scaling_beta", 0.0):
        context = min(context, table.size("original_max_position_embeddings"))
    idle = (0.0,) * ((head_dim - rotated) // 2)
    order = _order(head_dim, rotated, family.pairs)
    plain = order == tuple(range(head_dim))
    return FamilyRotation(frequencies + idle, None if plain else order, gain, rotated, context)


def _order(head_dim: int, rotated: int, pairs: str) -> tuple[int, ...]:
    """Elements of a stored head by their place in one whose pairs are ``i`` and ``i + d/2``."""
    elements = list(range(head_dim))
    turned, still = elements[:rotated], elements[rotated:]
    if pairs == "adjacent":
        first, second = turned[0::2], turned[1::2]
    else:
        first, second = turned[: rotated // 2], turned[rotated // 2 :]
    middle = len(still) // 2
    return (*first, *still[:middle], *second, *still[middle:])


def _scaled(
    table: Fields, config: Fields, rotated: int, refusals: list[Refusal]
) -> tuple[tuple[float, ...], float, int]:
    """Frequencies of the rotated pairs, the gain, and the context."""
    theta = table.positive("rope_theta")
    frequencies = rope.inverse_frequencies(rotated, theta)
    context = config.size("max_position_embeddings")
    kind = table.text("rope_type")
    if kind == "linear":
        frequencies = rope.linear(frequencies, table.positive("factor"))
    elif kind == "llama3":
        frequencies = rope.llama3(
            frequencies,
            factor=table.positive("factor"),
            low_freq_factor=table.positive("low_freq_factor"),
            high_freq_factor=table.positive("high_freq_factor"),
            original_context=table.size("original_max_position_embeddings"),
        )
    elif kind == "yarn":
        original = table.size("original_max_position_embeddings")
        factor = table.positive("factor", context / original)
        frequencies = rope.yarn(
            frequencies,
            theta,
            factor=factor,
            original_context=original,
            fast=table.real("beta_fast", 0.0) or 32.0,
            slow=table.real("beta_slow", 0.0) or 1.0,
            truncate=table.flag("truncate", True),
        )
        gain = rope.yarn_gain(factor, table.real("mscale", 0.0), table.real("mscale_all_dim", 0.0))
        return frequencies, table.positive("attention_factor", gain), context
    elif kind == "longrope":
        original = table.size("original_max_position_embeddings")
        frequencies = rope.longrope(frequencies, table.positives("short_factor", rotated // 2))
        gain = rope.longrope_gain(table.positive("factor", context / original), original)
        return frequencies, table.positive("attention_factor", gain), min(context, original)
    elif kind not in KINDS:
        refusals.append(Refusal("attn", "rope_type", ", ".join(KINDS), kind, "yarn"))
    return frequencies, 1.0, context
