"""Licence files taken in: judged, kept and entered by one rule, whoever brings them."""
