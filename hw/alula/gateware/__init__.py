"""The accelerator in Amaranth: a component a file, cut as docs/gateware.md says."""
