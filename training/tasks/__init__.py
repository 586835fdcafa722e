"""Tasks by name. The table is text, so that listing it imports nothing."""

TASKS = {
    "captioning": "training.tasks.captioning:captioning",
    "classification": "training.tasks.classification:classification",
    "detection": "training.tasks.detection:detection",
    "diffusion": "training.tasks.diffusion:diffusion",
    "gan": "training.tasks.gan:gan",
    "metric_learning": "training.tasks.metric_learning:metric_learning",
    "restoration": "training.tasks.restoration:restoration",
    "segmentation": "training.tasks.segmentation:segmentation",
    "texture": "training.tasks.texture:texture",
    "translation": "training.tasks.translation:translation",
    "retinanet": "training.tasks.retinanet:retinanet",
    "fcos": "training.tasks.fcos:fcos",
    "ssd": "training.tasks.ssd:ssd",
    "yolo_v1": "training.tasks.yolo:yolo_v1",
    "yolo_v2": "training.tasks.yolo:yolo_v2",
    "yolo_v3": "training.tasks.yolo:yolo_v3",
    "faster_rcnn": "training.tasks.faster_rcnn:faster_rcnn",
    "detr": "training.tasks.detr:detr",
    "vae": "training.tasks.vae:vae",
}
