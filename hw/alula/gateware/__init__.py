"""The accelerator in Amaranth: a component a file, in rooms that docs/gateware.md names.

Imports run one way: top; then matrix, sfu and memory, which do not know each other; then stream and
buffers; control; arithmetic; hdl.
"""
