"""``python -m loadbell`` is ``loadbell``."""

from loadbell.cli import main

if __name__ == "__main__":
    main()
