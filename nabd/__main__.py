"""`python -m nabd` is `nabd`."""

from nabd.cli import main

if __name__ == "__main__":
    main()
