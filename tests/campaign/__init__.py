"""A seeded campaign of bad files against the command line.

Each input is a handful of files that were made or damaged at random, and a command that reads
them. It must end within its limits of time and memory, in one line or well, leave nothing
half-written, and touch nothing that is not its own:

    python -m tests.campaign --inputs 20000 --seed 1

An input follows from seed and number alone; `--only NUMBER` runs it again, and `--keep` names the
folder in which the files of those that fail are left.
"""
