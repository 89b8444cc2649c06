"""What a machine for N:M patterns has instead of, or beside, the dense sums.

Indices pick one of M activations for each weight that is kept.
"""
