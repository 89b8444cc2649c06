"""What a design takes of its chip and how fast it might be, estimated without synthesis.

`estimate` composes it from the gateware's modules. Blocks and DSPs follow from the design alone;
look-up tables, flip-flops and the clock from fits to what Yosys made of other designs
(`synthesised.json`), whose errors on designs that were not fitted to stand beside each number.
"""

from alula.cost.resources.composition import NoEstimate, Resources, estimate

__all__ = ["NoEstimate", "Resources", "estimate"]
