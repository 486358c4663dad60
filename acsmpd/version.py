"""The version of this tree; setup.cfg, System/Info and the User-Agent agree with it (a test compares them)."""

VERSION = "0.1.0"
