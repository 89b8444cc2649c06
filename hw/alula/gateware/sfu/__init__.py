"""MISC: norms, softmax, rope, activation functions, quantisation, argmax.

A plan says what each pass of an instruction reads, computes and writes; lanes compute it.
"""
