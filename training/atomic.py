"""Files that are replaced as a whole: who reads one, or is killed while writing it, finds the old text or the new."""

import pathlib


def replace(path: pathlib.Path, content: str | bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content.encode() if isinstance(content, str) else content)
    partial.replace(path)
