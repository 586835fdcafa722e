"""Tasks by name. The table is text, so that listing it imports nothing."""

TASKS = {
    "captioning": "training.tasks.captioning:captioning",
    "classification": "training.tasks.classification:classification",
    "detection": "training.tasks.detection:detection",
    "diffusion": "training.tasks.diffusion:diffusion",
    "gan": "training.tasks.gan:gan",
    "segmentation": "training.tasks.segmentation:segmentation",
    "vae": "training.tasks.vae:vae",
}
