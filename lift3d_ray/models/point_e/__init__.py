"""From a picture to a coloured point cloud by diffusion (Point-E: Nichol et al. 2022).

``transformer`` is the network, with the names and shapes of the published parameters; ``diffusion`` its noise and its
losses; ``karras`` draws from it; ``features`` shows it the picture; ``sampler`` puts them behind plain values;
``loading`` opens this project's folders and the published ``.pt`` files.
"""
