"""Incoming HTTP: rows become routes, requests become wishes in the store."""
