"""How the compiled CPU kernels are built: one decorator, so that all follow the same rules.

A kernel releases the GIL, never raises, keeps IEEE NaN and infinity, and is stored on disk after its first
compilation. Numba keys a stored kernel by the file it is defined in, not by the files it calls into: a kernel calls
only kernels of its own file.
"""

import functools
import os
import tempfile
from pathlib import Path

import numba


def _choose_cache_folder() -> None:
    """Point numba's disk cache at a temporary folder where neither the package nor the home folder can be written."""
    if numba.config.CACHE_DIR:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~").expanduser())
    if not os.access(Path(__file__).parent, os.W_OK) and not os.access(home, os.W_OK):
        numba.config.CACHE_DIR = str(Path(tempfile.gettempdir()) / f"avatar-kernels-{os.getuid()}")


_choose_cache_folder()

kernel = functools.partial(
    numba.njit, nogil=True, cache=True, error_model="numpy", fastmath={"contract", "arcp", "nsz", "reassoc"}
)

inlined = functools.partial(kernel, forceinline=True)
"""For the small functions that kernels call in their inner loops."""
