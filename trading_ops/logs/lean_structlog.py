"""Imports structlog without rich and Pygments, which it would import if installed.

They color tracebacks on a terminal. Our processes write JSON, and each would use 3 MB for them.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _Hide(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        """Hide rich; leave every other module to the next finder."""
        del path, target
        if fullname == "rich":
            raise ModuleNotFoundError(name=fullname)


_hide = _Hide()
sys.meta_path.insert(0, _hide)
try:
    import structlog
    from structlog.typing import EventDict
finally:
    sys.meta_path.remove(_hide)

__all__ = ["EventDict", "structlog"]
