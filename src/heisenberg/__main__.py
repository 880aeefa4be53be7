"""`python -m heisenberg`."""

from heisenberg.cli import main

if __name__ == "__main__":
    main()
