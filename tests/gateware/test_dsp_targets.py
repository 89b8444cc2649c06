"""Chains of vendor multipliers against integers, with behavioural models of the blocks."""

from pathlib import Path
from random import Random

import pytest
from amaranth.lib.wiring import Component
from tests.gateware.test_chain import block, expected

from alula.bench.payload import pack, unpack
from alula.gateware.hdl.repeat import emit
from alula.gateware.matrix.chain import LATENCY, Chain
from alula.rtl import simulate


@pytest.mark.parametrize(
    ("target", "sparse"), [("dsp48e2", False), ("dsp48e2", True), ("mult18x18d", True)]
)
def test_chain(target: str, sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Path(__file__).with_name(f"{target}.v").read_text()

    def with_model(component: Component) -> dict[str, str]:
        return emit(component) | {target.upper(): model}

    monkeypatch.setattr("alula.rtl.simulation.emit", with_model)
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
