"""From a page to objects: data, networks, task, step, state."""
