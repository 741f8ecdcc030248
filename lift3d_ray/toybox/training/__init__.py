"""Training of the embedded bundle on the procedural world, one file a role."""
