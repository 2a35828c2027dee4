"""`python -m armour` is the command `armour`."""

from armour.cli.main import main

if __name__ == "__main__":
    main()
