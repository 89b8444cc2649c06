"""Weights on their way from memory to the matrix engine: their formats, their order, their rings.

LD asks for no beat that has no place here; the matrix engine reads a row block as often as it must.
"""
