"""Models and devices at run time."""
