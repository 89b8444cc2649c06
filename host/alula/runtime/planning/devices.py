"""Devices and the links between them, as a YAML file says it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from alula.design.error import DesignError, listed, meant, shown
from alula.design.loading import read_yaml
from alula.design.record import Record
from alula.design.shipped import named_file, shipped_devices
from alula.runtime.split import TARGET


def _countable(value: float) -> float:
    """Return a number whose products with others stay numbers: 0, or neither tiny nor huge."""
    if 0 < value < 1e-12:
        raise PydanticCustomError("greater_than_equal", "too small", {"ge": "1e-12"})
    if value > 1e12:
        raise PydanticCustomError("less_than_equal", "too large", {"le": "1e12"})
    return value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_countable)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), AfterValidator(_countable)]
Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]

Format = Literal["fp32", "fp16", "bf16", "int8", "q4_0", "contract"]
"""How numbers are held: q4_0 is llama.cpp's, `contract` what Alula compiles (W4 layers, a W8 head,
keys and values in int8 with a bf16 scale for each head)."""

_MULTIPLIED_AS: Mapping[Format, Format] = {"contract": "int8", "q4_0": "fp16"}

Source = Literal["measured", "simulated", "published"]

Handover = Literal["streamed", "whole"]


class ProfilePoint(Record):
    """A time of a profile."""

    phase: Literal["prefill", "decode"]
    """Prefill: the time of a whole prompt. Decode: of one token."""

    unit: Literal["model", "embed", "layer", "head"] = "model"
    """What it is the time of; that of a model is spread over its units."""

    length: Positive
    """Prefill: tokens of the prompt. Decode: tokens held before the one that is decoded."""

    seconds: Positive
    """The time."""

    spread: NotNegative = 0
    """Half the distance between the quartiles of what was measured, in seconds."""


class Profile(Record):
    """Times that were found for one model on one device."""

    model: Annotated[str, Field(min_length=1, max_length=1000)]
    """The model as it is named; no other can be planned with it."""

    source: Source
    """Where the times are from."""

    about: Annotated[str, Field(max_length=400)] = ""
    """The source in words: paper, or date, driver and versions."""

    points: Annotated[list[ProfilePoint], Field(min_length=1, max_length=10_000)]
    """The times. Between two lengths they are interpolated."""


class DeviceRecord(Record):
    """What runs units."""

    kind: Literal["cpu", "gpu", "accelerator"]
    """What it is."""

    target: str | None = None
    """Its name in a map, such as accel or torch:cuda; none for one that is only planned."""

    estimator: Name | None = None
    """What says how long a unit takes: roofline, profile, rtl, cycles, or what a package brings. By
    default profile or rtl where their times are given, cycles where there is a design, else
    roofline."""

    design: str | None = None
    """Of an accelerator: its design file, or the name of one that ships."""

    rtl_cycles: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Of an accelerator: a file of simulated cycles, which `alula calibrate MODEL --target accel`
    writes."""

    format: Format = "fp16"
    """How it holds weights."""

    kv_format: Format | None = None
    """How it holds keys and values; by default like weights, fp16 beside q4_0."""

    peak_tops: Annotated[dict[Format, Positive], Field(default_factory=dict)]
    """10^12 operations a second by format, a multiplication and an addition being two."""

    bandwidth_gbs: Positive | None = None
    """Of its memory, 10^9 bytes a second."""

    efficiency: Annotated[float, Field(gt=0, le=1), AfterValidator(_countable)] = 1.0
    """The share of peak and bandwidth that a roofline counts on."""

    launch_us: NotNegative = 0
    """Microseconds that a unit takes however small it is."""

    capacity_gib: Positive | None = None
    """Memory for weights, keys and values; none: no limit."""

    idle_w: NotNegative = 0
    """Watts while another device works."""

    busy_w: NotNegative = 0
    """Watts while it works."""

    price_per_hour: NotNegative = 0
    """What an hour of it costs."""

    profile: Profile | None = None
    """Times that were found."""

    @property
    def keeps(self) -> Format:
        """How it holds keys and values."""
        return self.kv_format or ("fp16" if self.format == "q4_0" else self.format)

    @property
    def by_layer(self) -> bool:
        """Whether it hands out a layer's keys and values as soon as it has computed them.

        What replays a graph or runs a program does not before its whole segment is over.
        """
        return self.kind == "cpu" or (self.target or "").startswith("torch-float:")

    @property
    def shared(self) -> bool:
        """Whether keys and values cross while it computes; an accelerator does one at a time."""
        return self.kind != "accelerator"

    @property
    def estimated_by(self) -> str:
        """Name of its estimator."""
        if self.estimator is not None:
            return self.estimator
        if self.profile or self.rtl_cycles:
            return "profile" if self.profile else "rtl"
        return "cycles" if self.design else "roofline"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.target is not None and not TARGET.fullmatch(self.target):
            wanted = "accel, torch:cuda or another target of a map"
            raise impossible("target", wanted, shown(self.target))
        if (self.kind == "accelerator") != (self.target == "accel") and self.target is not None:
            wanted = "accel for an accelerator and for nothing else"
            raise impossible("target", wanted, shown(self.target))
        if self.design is not None and self.kind != "accelerator":
            raise impossible("design", "left out, except of an accelerator", shown(self.design))
        needs = {
            "roofline": {"peak_tops": self.peak_tops, "bandwidth_gbs": self.bandwidth_gbs},
            "profile": {"profile": self.profile},
            "rtl": {"rtl_cycles": self.rtl_cycles, "design": self.design},
            "cycles": {"design": self.design},
        }
        for key, value in needs.get(self.estimated_by, {}).items():
            if not value:
                raise impossible(key, f"given for the estimator {self.estimated_by}", "missing")
        if self.estimated_by == "roofline" and self.computes not in self.peak_tops:
            wanted = f"given for {self.computes}, as which it multiplies"
            raise impossible("peak_tops", wanted, listed(list(self.peak_tops)))
        return self

    @property
    def computes(self) -> Format:
        """In what it multiplies."""
        return _MULTIPLIED_AS.get(self.format, self.format)


class Link(Record):
    """What joins two devices; both directions are alike."""

    between: Annotated[list[Name], Field(min_length=2, max_length=2)]
    """The two devices."""

    bandwidth_gbs: Positive
    """10^9 bytes a second."""

    latency_us: NotNegative = 0
    """Microseconds before the first byte arrives."""


class Devices(Record):
    """Devices and the links between them."""

    name: Name
    """Short name."""

    devices: Annotated[dict[Name, DeviceRecord], Field(min_length=1, max_length=8)]
    """The devices by name, at most 8."""

    links: Annotated[list[Link], Field(default_factory=list)]
    """A tree: exactly one way leads from each device to each other one."""

    crossing: Format | None = None
    """How keys and values cross; by default as the sender keeps them."""

    handover: Handover = "streamed"
    """When keys and values cross: streamed, layer by layer while the prompt is still being read, or
    whole, between the prompt and the answer."""

    def check_whole(self, source: str) -> None:
        """Check that the links join all devices without a cycle; see `Record.check_whole`."""
        check_links(self, f"{source}: ")


def load_devices(source: str | Path) -> Devices:
    """Load devices from a YAML file, or by the name of a file that ships with Alula.

    Raises:
        DesignError: there is no such file, or what it holds is no valid file of devices.
    """
    path = named_file(source, shipped_devices(), "device")
    return Devices.from_mapping(read_yaml(path), str(path))


def impossible(key: str, expected: str, actual: str) -> PydanticCustomError:
    """Return what a validator raises for a field that contradicts another."""
    context: Mapping[str, Any] = {"key": key, "expected": expected, "actual": actual}
    return PydanticCustomError("impossible", "impossible", dict(context))


def check_links(devices: Devices, source: str) -> None:
    """Check that the links join all devices without a cycle.

    Args:
        devices: whose.
        source: what a field's name is told behind.

    Raises:
        DesignError: they do not.
    """
    names = list(devices.devices)
    home = {name: name for name in names}

    def root(name: str) -> str:
        while home[name] != name:
            name = home[name]
        return name

    for index, link in enumerate(devices.links):
        place = f"{source}links.{index}.between"
        for name in link.between:
            if name not in home:
                wanted = f"two of {listed(names, 'and')}"
                raise DesignError(wanted, f"{name}{meant(name, names)}", place)
        one, other = map(root, link.between)
        if one == other:
            raise DesignError("links without a cycle", " - ".join(link.between), place)
        home[one] = other
    apart = [name for name in names if root(name) != root(names[0])]
    if apart:
        wanted = f"links that join {names[0]} to every device"
        raise DesignError(wanted, f"none to {listed(apart, 'and')}", f"{source}links")
