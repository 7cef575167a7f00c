"""Imports only ccxt's Kraken client: a tenth of the time and half of the memory.

`import ccxt.async_support` imports every exchange twice, which takes seconds in which a restarted
bot is not trading. Kraken's client needs two modules. While they are imported, empty modules
replace the two packages, so that their `__init__` does not run. Afterwards the replacements are
removed, and a later `import ccxt` gets the whole package, with the same classes.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from trading_ops import logs

PACKAGES = ("ccxt", "ccxt.async_support")

log = logs.get(__name__)


def kraken_class() -> type[Any]:
    """Return ccxt's asynchronous Kraken client.

    Blocks for a quarter of a second at the first call, so call it in a thread first.
    """
    if any(name in sys.modules for name in PACKAGES):
        return _whole()
    try:
        return _lean()
    except (ImportError, AttributeError) as error:
        # Another version of ccxt may need more modules: import all, which is slower.
        log.warning("lean_import_failed", error=str(error))
        return _whole()


def _whole() -> type[Any]:
    found: type[Any] = importlib.import_module("ccxt.async_support").kraken
    return found


def _lean() -> type[Any]:
    spec = importlib.util.find_spec("ccxt")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("ccxt is not installed")
    home = list(spec.submodule_search_locations)
    root = _stand_in("ccxt", home)
    _stand_in("ccxt.async_support", [f"{folder}/async_support" for folder in home])
    try:
        # Names that ccxt's own modules import from the package.
        errors = vars(importlib.import_module("ccxt.base.errors"))
        vars(root).update({name: kind for name, kind in errors.items() if isinstance(kind, type)})
        vars(root)["Exchange"] = importlib.import_module("ccxt.base.exchange").Exchange
        found: type[Any] = importlib.import_module("ccxt.async_support.kraken").kraken
        return found
    finally:
        for name in PACKAGES:
            sys.modules.pop(name, None)


def _stand_in(name: str, folders: list[str]) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = folders
    sys.modules[name] = module
    return module
