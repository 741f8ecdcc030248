"""Many pictures at once: Ray Data streams them to per-scene optimizer actors that query the shared models."""
