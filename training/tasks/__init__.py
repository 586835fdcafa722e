"""Tasks by name. The table is text, so that listing it imports nothing."""

TASKS = {
    "captioning": "training.tasks.captioning:captioning",
    "classification": "training.tasks.classification:classification",
    "compound_segmentation": "training.tasks.compound_segmentation:compound_segmentation",
    "detection": "training.tasks.detection:detection",
    "diffusion": "training.tasks.diffusion:diffusion",
    "gan": "training.tasks.gan:gan",
    "metric_learning": "training.tasks.metric_learning:metric_learning",
    "restoration": "training.tasks.restoration:restoration",
    "segmentation": "training.tasks.segmentation:segmentation",
    "texture": "training.tasks.texture:texture",
    "translation": "training.tasks.translation:translation",
    "vae": "training.tasks.vae:vae",
}
