"""The HTTP API: a FastAPI application over the job store and the shared models, with or without Ray Serve around it."""
