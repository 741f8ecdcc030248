"""From an asset to files: GLB, PLY, turntable, pictures, ``result.json``, and a gallery over many assets.

Every file is written whole or not at all (a temporary name, then a rename), and the same asset gives the same bytes.
"""
