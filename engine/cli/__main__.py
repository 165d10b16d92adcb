"""`python -m matscreen.engine.cli`, which `torchrun` wants."""

from matscreen.engine.cli import main

if __name__ == "__main__":
    main()
