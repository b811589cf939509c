"""`python -m spirit_jax`."""

from spirit_jax.cli import main

if __name__ == "__main__":
    main()
