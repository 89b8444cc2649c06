"""Design spaces: points made, simulated in RTL, synthesised and compared."""
