"""From the host's registers to an engine's next command.

Fetch, loops and operands, queues with their tokens, counters, and what is said of an engine that
stopped.
"""
