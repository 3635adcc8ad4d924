"""`python -m tawt` is `tawt`."""

from tawt.cli.app import main

main()
