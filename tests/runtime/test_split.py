"""Maps of units to targets: what they mean, and what they refuse."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alula.runtime.split import Phase, Segment, Split, SplitError, Target, parse_split

LAYERS = 30
UNITS = ("embed", *(f"layers.{index}" for index in range(LAYERS)), "head")
NONE = range(0)
ACCEL = Target("accel")
TORCH = Target("torch-int", "cpu")


def shown(split: Split, phase: Phase = "prefill") -> list[tuple[str, bool, range, bool]]:
    return [
        (str(part.target), part.embed, part.layers, part.head) for part in split.segments(phase)
    ]


def test_everything_on_the_accelerator() -> None:
    split = parse_split("*=accel", UNITS)
    assert split.prefill == split.decode == (Segment(ACCEL, True, range(30), True),)


def test_the_issue_example() -> None:
    assert shown(parse_split("layers.0-9=torch,*=accel", UNITS)) == [
        ("accel", True, NONE, False),
        ("torch-int:cpu", False, range(10), False),
        ("accel", False, range(10, 30), True),
    ]


def test_a_rule_for_one_phase_only() -> None:
    split = parse_split("prefill:*=torch:cuda, *=accel", UNITS)
    assert shown(split) == [("torch-int:cuda", True, range(30), True)]
    assert shown(split, "decode") == [("accel", True, range(30), True)]


@pytest.mark.parametrize(
    ("text", "mode", "target"),
    [
        ("*=torch", "int", Target("torch-int", "cpu")),
        ("*=torch", "float", Target("torch-float", "cpu")),
        ("*=torch-int", "float", Target("torch-int", "cpu")),
        ("*=torch-float:cuda:1", "int", Target("torch-float", "cuda:1")),
        (" * = accel ", "int", ACCEL),
    ],
)
def test_targets(text: str, mode, target: Target) -> None:
    assert parse_split(text, UNITS, mode).targets == {target}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a rule must be UNITS=TARGET such as layers.0-9=torch, not ''"),
        ("*=accel,", "a rule must be UNITS=TARGET such as layers.0-9=torch, not ''"),
        ("layers.3", "a rule must be UNITS=TARGET such as layers.0-9=torch, not 'layers.3'"),
        (
            "train:*=accel",
            "a rule's phase must be prefill or decode, not 'train' (train:*=accel)",
        ),
        (
            "*=gpu",
            (
                "a target must be accel, or torch, torch-int, torch-float, torch-fp32, torch-bf16"
                " or torch-fp16 with a device such as torch:cuda, not 'gpu' (*=gpu)"
            ),
        ),
        (
            "layers.25-30=torch,*=accel",
            (
                "units must be embed, layers.0 to layers.29 (also layers.0-29), head or *,"
                " not 'layers.25-30' (layers.25-30=torch)"
            ),
        ),
        (
            "lm_head=torch,*=accel",
            (
                "units must be embed, layers.0 to layers.29 (also layers.0-29), head or *,"
                " not 'lm_head' (lm_head=torch)"
            ),
        ),
        (
            "layers.9-3=torch,*=accel",
            "a range of layers must go up, not 9-3 (layers.9-3=torch)",
        ),
        (
            "layers.0-3=torch,layers.3=accel,*=accel",
            (
                "rules must not overlap: 'layers.0-3=torch' and 'layers.3=accel'"
                " both name layers.3 in prefill"
            ),
        ),
        (
            "*=torch,*=accel",
            "rules must not overlap: '*=torch' and '*=accel' both name embed in prefill",
        ),
        (
            "prefill:head=torch,layers.0-29=torch,decode:*=accel",
            "every unit must have a rule in prefill, not all but embed; *=accel adds one",
        ),
        (
            "embed=torch,layers.0-29=torch,head=torch,*=accel",
            "every rule must name a unit that no other rule names, not '*=accel'",
        ),
    ],
)
def test_refusals(text: str, words: str) -> None:
    with pytest.raises(SplitError) as caught:
        parse_split(text, UNITS)
    assert str(caught.value) == words


def test_unknown_torch_mode() -> None:
    with pytest.raises(SplitError, match=r"^torch mode must be int or float, not 'bf16'$"):
        parse_split("*=torch", UNITS, "bf16")  # pyright: ignore[reportArgumentType]


@st.composite
def placements(draw: st.DrawFn) -> dict[str, str]:
    count = draw(st.integers(1, 12))
    units = ("embed", *(f"layers.{index}" for index in range(count)), "head")
    target = st.sampled_from(["accel", "torch-int:cpu", "torch-float:cuda"])
    return {unit: draw(target) for unit in units}


@given(placements(), st.randoms())
def test_segments_say_what_the_rules_say(placed: dict[str, str], random) -> None:
    rules = [f"{unit}={target}" for unit, target in placed.items()]
    random.shuffle(rules)
    split = parse_split(",".join(rules), tuple(placed))
    found: list[tuple[str, str]] = []
    for part in split.decode:
        names = ["embed"] * part.embed + [f"layers.{i}" for i in part.layers] + ["head"] * part.head
        found += [(name, str(part.target)) for name in names]
    assert found == list(placed.items())
    targets = [part.target for part in split.decode]
    assert all(one != two for one, two in itertools.pairwise(targets))


@given(st.text(alphabet="layers.0123-=*,:torchaccelhd ", max_size=40))
def test_any_text_is_a_split_or_one_line(text: str) -> None:
    try:
        split = parse_split(text, UNITS)
    except SplitError as error:
        lines = str(error).splitlines()
        assert len(lines) == 1
    else:
        assert sum(len(part.layers) for part in split.prefill) == LAYERS
