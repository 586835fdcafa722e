"""The ledger of reproductions."""
