"""MISC: norms, softmax, rope, activation functions, quantisation, argmax.

`passes` is the table of what each pass of an instruction reads, computes and writes; `sequencer`
runs it, the other modules are the units that a pass uses.
"""
