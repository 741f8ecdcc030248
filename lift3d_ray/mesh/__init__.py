"""From a density grid to a coloured triangle mesh, and back to pictures of it.

``isosurface`` finds the surface, ``simplify`` thins it, ``refine`` splits edges where more colour detail is to be held,
``colors`` paints the vertices, ``zbuffer`` and ``rasterize`` draw the mesh, ``sample`` draws points from it.
All of it is numpy on the CPU, and the same input gives the same output.
"""
