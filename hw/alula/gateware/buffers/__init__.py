"""What keeps vectors, activations and new keys and values on the chip, and who may write when.

Three buffers, an arbiter, and the ports by which engines reach them.
"""
