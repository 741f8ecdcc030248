"""Single pictures to 3D assets, thousands at a time, on a Ray cluster or one laptop."""

__version__ = "0.1.0"
