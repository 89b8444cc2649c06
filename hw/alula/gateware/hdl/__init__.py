"""What Amaranth leaves to its users, of no use to accelerators alone.

Modules emitted once, registers in streams and around a top, clock gates, AXI as signatures.
"""
