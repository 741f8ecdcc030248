"""The command line: what is typed becomes calls of the batch, the lift and the bundle."""
