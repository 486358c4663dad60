"""`python -m acsmpd` is the command `acsmpd`."""

from acsmpd.cli import main

main()
