"""acsmpd: the algorithm and computility service management platform of T/BAX 0006.5 as one process."""
