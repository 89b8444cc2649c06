"""The accelerator in Amaranth: a component a file, in rooms.

docs/explanation/gateware.md has a table of the rooms.

Imports run one way: top; then matrix, sfu and memory, which do not know each other; then stream and
buffers; control; arithmetic; hdl.
"""
