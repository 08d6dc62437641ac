"""`python -m r2mae`: the same as the console script."""

from r2mae.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
