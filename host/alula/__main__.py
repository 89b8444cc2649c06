"""`python -m alula` is the `alula` command."""

from alula.cli import main

if __name__ == "__main__":
    main()
