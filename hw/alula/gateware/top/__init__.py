"""The whole: the engines of a core, the cores of an accelerator, and its ports."""
