"""The benches behind scripts/bench: each prints its figure beside its limit."""
