"""The rings of the weight stream: a memory for each kind of beat."""


def ring_depths(value_beats: int, *, sparse: bool = False) -> dict[str, int]:
    """Return the beats of each kind of beat's ring, by its name, of a stream of so many values."""
    even = value_beats + value_beats % 2
    depths = {
        "VALUE": even,
        # Pointers of a power of two need no end.
        "META": 1 << (even // (4 if sparse else 5) + 1).bit_length(),
        "SCALE": 2 * max(2, even // 64),
    }
    return depths | ({"INDEX": even // 2} if sparse else {})


def ring_banks(value_beats: int, *, sparse: bool = False) -> dict[str, tuple[int, int]]:
    """Return words and number of the memories of each ring, by its name.

    A ring whose reader may take two beats at once has one for even and one for odd beats.
    """
    pairs = {"VALUE", "SCALE"} if sparse else {"VALUE"}
    return {
        name: (depth // 2, 2) if name in pairs else (depth, 1)
        for name, depth in ring_depths(value_beats, sparse=sparse).items()
    }
