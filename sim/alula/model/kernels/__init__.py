"""The machine's arithmetic, compiled. Arrays in, arrays out; nothing here knows of instructions."""
