"""MM and MV: the engine of sparse DSP chains, from operands to finished fp32 results.

Commands and their bounds, chains and multipliers, sums and what finishes them. `sparse` has what
N:M patterns need.
"""
