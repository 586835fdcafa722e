"""Tasks by name. The table is text, so that listing it imports nothing."""

TASKS = {
    "classification": "training.tasks.classification:classification",
}
