"""The radiance field of one scene: a voxel grid, its rays, its occupancy and its renderer."""
