"""Where the study of a sweep is kept: a file in its folder, or a database."""

import contextlib
import importlib
import pathlib
from collections.abc import Iterator

from experiments.errors import PageError
from experiments.terminal import masked

FILE = "study.journal"
_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}


def storage(url: str, folder: pathlib.Path, probe: bool = False):
    """The storage of the study. Raises PageError for a URL that optuna cannot use."""
    if not url:
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        path = str(folder / FILE)
        return None if probe else JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    kind, separator, rest = url.partition("://")
    if not separator or kind.partition("+")[0] not in _DRIVERS:
        raise PageError(f"--storage {masked(url)}: a URL like postgresql://user:password@host/database, or mysql://…")
    driver = _DRIVERS.get(kind, kind)
    module = driver.partition("+")[2]
    try:
        importlib.import_module(module or "sqlite3")
    except ImportError as error:
        raise PageError(f"--storage {masked(url)} needs {module}: pip install -e '.[storage]'") from error
    import optuna

    with reached(url):
        return optuna.storages.RDBStorage(f"{driver}://{rest}", engine_kwargs={"pool_pre_ping": True})


@contextlib.contextmanager
def reached(url: str) -> Iterator[None]:
    """Turns any error of a database's driver into one line."""
    try:
        yield
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PageError(f"--storage {masked(url)} cannot be reached: {line}") from error
