"""JSON files that survive a power cut: they have either the new content or the old one."""

import json
from pathlib import Path
from typing import Any

from trading_ops import durable
from trading_ops.errors import SetupError


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Replace the file by this object; when this returns, it is on disk.

    Raises:
        OSError: it could not be stored; the old content is unchanged.
    """
    content = json.dumps(data, separators=(",", ":")).encode()
    durable.write(path, content, mode=durable.state_mode(path.parent))


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in the file, or an empty one if the file does not exist.

    Raises:
        SetupError: the file does not contain a JSON object. It is never treated as empty, because
            its content, such as a halt, would be lost.
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SetupError(f"{path} is unreadable ({error}). Fix: restore or remove it") from error
    if not isinstance(data, dict):
        raise SetupError(f"{path} does not contain a JSON object. Fix: restore or remove it")
    return data
