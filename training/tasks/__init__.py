"""Tasks by name. The table is text, so that listing it imports nothing."""

TASKS = {
    "autoencoder": "training.tasks.autoencoder:autoencoder",
    "autoregressive": "training.tasks.autoregressive:autoregressive",
    "captioning": "training.tasks.captioning:captioning",
    "classification": "training.tasks.classification:classification",
    "cvae": "training.tasks.cvae:cvae",
    "detection": "training.tasks.detection:detection",
    "diffusion": "training.tasks.diffusion:diffusion",
    "flow": "training.tasks.flow:flow",
    "gan": "training.tasks.gan:gan",
    "metric_learning": "training.tasks.metric_learning:metric_learning",
    "restoration": "training.tasks.restoration:restoration",
    "segmentation": "training.tasks.segmentation:segmentation",
    "texture": "training.tasks.texture:texture",
    "translation": "training.tasks.translation:translation",
    "vae": "training.tasks.vae:vae",
    "vq": "training.tasks.vq:vq",
}
