"""Runs, sweeps and the ledger as one HTML page."""
