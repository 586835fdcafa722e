"""Another path to a directory whose own name a library cannot take."""

import pathlib
import re
import tempfile


class PlainPath:
    """A path to a directory that orbax can work with: `path`.

    Orbax looks for files by patterns that begin with its directory, so it finds nothing under "runs/resnet[wide]", and
    its store takes no bytes that are not UTF-8. Such a directory is reached by a link in a temporary folder.
    """

    def __init__(self, directory: pathlib.Path):
        self.path, self._folder = directory, None
        if not re.fullmatch(r"[\w/.,+=@ -]*", str(directory), re.ASCII):
            directory.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(prefix="fovea-")
            self.path = pathlib.Path(self._folder.name).resolve() / "checkpoints"
            self.path.symlink_to(directory, target_is_directory=True)

    def close(self) -> None:
        if self._folder:
            self._folder.cleanup()
