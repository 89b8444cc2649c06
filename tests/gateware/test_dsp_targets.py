"""Chains and fp32 units of vendor multipliers, with behavioural models of the blocks."""

from collections.abc import Callable
from operator import mul
from pathlib import Path
from random import Random

import pytest
from amaranth.lib.wiring import Component
from tests.gateware import exact
from tests.gateware.test_accumulators import Rig
from tests.gateware.test_chain import block, expected
from tests.gateware.test_float_units import Activation, exponents, roots

from alula.bench.payload import pack, unpack
from alula.gateware.arithmetic.float_activation import EXP
from alula.gateware.arithmetic.float_multiply import FloatMultiply
from alula.gateware.arithmetic.float_root import FloatRoot
from alula.gateware.hdl.repeat import emit
from alula.gateware.matrix.chain import LATENCY, Chain
from alula.gateware.matrix.chains import Chains
from alula.rtl import simulate


def with_model(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let simulations be of this target."""
    model = Path(__file__).with_name(f"{target}.v").read_text()

    def made(component: Component) -> dict[str, str]:
        verilog = emit(component, None, target)  # pyright: ignore[reportArgumentType]
        return verilog | {target.upper(): model}

    monkeypatch.setattr("alula.rtl.simulation.emit", made)


@pytest.mark.parametrize(
    ("target", "sparse"), [("dsp48e2", False), ("dsp48e2", True), ("mult18x18d", True)]
)
def test_chain(target: str, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with_model(target, monkeypatch)
    chain = Chain(target=target, sparse=sparse)  # pyright: ignore[reportArgumentType]
    shapes = {name: member.shape for name, member in chain.signature.members.items()}
    rng = Random(4)
    cases = []
    for _ in range(2000):
        case = {
            "activations": [block(rng, -127), block(rng, -127)],
            "weights": block(rng, -128),
        }
        if sparse:
            case |= {"index": [rng.randrange(16) for _ in range(16)], "cuts": rng.randrange(256)}
            case |= {"pruned": rng.randrange(2)}
        cases.append(case)
    cases.append(cases[0] | {"activations": [[127] * 16, [-127] * 16], "weights": [-128] * 16})
    with simulate(chain) as simulation:
        simulation.reset()
        for cycle in range(len(cases) + LATENCY):
            if cycle >= LATENCY:
                simulation.settle()
                case = cases[cycle - LATENCY]
                port = "sums" if case.get("pruned") else "total"
                assert unpack(shapes[port], simulation.get(port)) == expected(case)
            if cycle < len(cases):
                for name, value in cases[cycle].items():
                    simulation.set(name, pack(shapes[name], value))
            simulation.step()


@pytest.mark.parametrize("target", ["dsp48e2", "mult18x18d"])
def test_chains_that_share_operands(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_model(target, monkeypatch)
    chains = Chains(rows=2, tokens=4, target=target)  # pyright: ignore[reportArgumentType]
    shapes = {name: member.shape for name, member in chains.signature.members.items()}
    rng = Random(5)
    cases = [
        {
            "activations": [block(rng, -127) for _ in range(4)],
            "weights": [block(rng, -128) for _ in range(2)],
        }
        for _ in range(1000)
    ]
    with simulate(chains) as simulation:
        simulation.reset()
        for cycle in range(len(cases) + LATENCY):
            if cycle >= LATENCY:
                simulation.settle()
                x, w = cases[cycle - LATENCY].values()
                totals = [[sum(map(mul, row, column)) for column in x] for row in w]
                assert unpack(shapes["total"], simulation.get("total")) == totals
            if cycle < len(cases):
                for name, value in cases[cycle].items():
                    simulation.set(name, pack(shapes[name], value))
            simulation.step()


@pytest.mark.parametrize("bits", [32, 48])
def test_accumulator(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks' accumulator beside the portable one, group by group, at any distance."""
    rng, rig = Random(6), Rig(sparse=False, bits=bits)
    shapes = {name: member.shape for name, member in rig.signature.members.items()}
    given, half, told = {}, 0, 0
    cycles = []
    for _ in range(20000):
        valid = int(rng.random() < 0.8)
        if told or not given:
            given["sum"] = rng.randint(-4064, 4064)
        told = valid & half
        given |= {
            "control_valid": valid,
            "control_half": half,
            "control_first": int(rng.random() < 0.1),
            "control_last": int(rng.random() < 0.1),
            "total": rng.randint(-16256, 16256),
            "scale": rng.randrange(256),
            "minimum": rng.randint(-128, 127),
            "factor": rng.randrange(256),
        }
        cycles.append({name: pack(shapes[name], value) for name, value in given.items()})
        half ^= valid

    def found(rig: Rig) -> list[tuple[int, ...]]:
        """Each accumulator that was captured after a first one."""
        results = []
        with simulate(rig) as simulation:
            simulation.reset()
            for values in cycles:
                for name, value in values.items():
                    simulation.set(name, value)
                simulation.settle()
                if simulation.get("control_captured"):
                    results.append((simulation.get("captured"), simulation.get("overflow")))
                simulation.step()
        return results[200:]

    portable = found(rig)
    with_model("dsp48e2", monkeypatch)
    assert found(Rig(sparse=False, bits=bits)) == portable
    assert len(portable) > 500
    assert {over for _, over in portable} == ({0, 1} if bits == 32 else {0})


def answers(unit: Component, items: list[dict[str, int]]) -> list[int]:
    """What a unit answers to operands that come by fits and starts."""
    rng, found = Random(5), []
    with simulate(unit) as simulation:
        simulation.reset()
        left = items[::-1]
        for _ in range(2 * len(items) + 100):
            comes = bool(left) and rng.random() < 0.7
            simulation.set("valid", int(comes))
            for name, value in (left.pop() if comes else items[0]).items():
                simulation.set(name, value)
            simulation.step()
            simulation.settle()
            if simulation.get("result_valid"):
                found.append(simulation.get("result"))
    return found


def _products(random: Random) -> list[dict[str, int]]:
    # Among them such that are all ones and would be rounded up to another exponent.
    close = [(x, (1 << 47) // x) for x in random.sample(range(1 << 23, 1 << 24), 300)]
    edges = [
        ((127 + high) << 23 | x & 0x7FFFFF, (127 + 126 - high + near) << 23 | y & 0x7FFFFF)
        for x, y in close
        for high in (3, 120)
        for near in (0, 1, 2)
    ]
    return [{"a": a, "b": b} for a, b in [*exact.pairs(random, 4_000), *edges]]


UNITS: dict[str, tuple[Callable[[], Component], Callable, Callable[..., int]]] = {
    "multiply": (FloatMultiply, _products, exact.multiply),
    "activation": (
        Activation,
        lambda random: [{"x": x, "function": EXP} for x in exponents(random)],
        lambda x, function: exact.exponential_of_product(x),
    ),
    "root": (
        FloatRoot,
        lambda random: [{"x": x, "root": root} for x, root in roots(random)],
        lambda x, root: exact.reciprocal_root(x) if root else exact.reciprocal(x),
    ),
}


@pytest.mark.parametrize("target", ["portable", "dsp48e2", "mult18x18d"])
@pytest.mark.parametrize("name", UNITS)
def test_float_units_of_blocks(name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, table, model = UNITS[name]
    if target != "portable":
        with_model(target, monkeypatch)
    items = table(Random(3))
    assert answers(make(), items) == [model(**item) for item in items]
