"""What a run leaves behind: assets, a ledger of outcomes, and the manifest compacted from it."""
