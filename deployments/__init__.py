"""The shared models as a Ray Serve application, and the handles that make it look like models in this process."""
