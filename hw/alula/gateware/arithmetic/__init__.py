"""Numbers: fp32 units as docs/reference/numerics.md defines them, and what they are made of.

Each is a pipeline without handshake, one result a cycle; `LATENCY` of its module says how late.
"""
