"""What Amaranth leaves to its users, of no use to accelerators alone.

Modules emitted once, scan registers around a top, clock gates, AXI as signatures.
"""
