"""`unet_isbi_small` without elastic deformation: what the deformation is worth.

cd where/isbi2012_membrane/lies; fovea train --config unet_isbi_small_rigid --workdir runs/unet_isbi_small_rigid
"""

from experiments.configs.segmentation import unet_isbi_small


def get_config():
    config = unet_isbi_small.get_config()
    config.data.augment = tuple(name for name in config.data.augment if name != "elastic")
    return config
