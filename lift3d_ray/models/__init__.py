"""The models: a protocol a role, and an adapter over the official class for each."""
