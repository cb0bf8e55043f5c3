"""Reading a file that a person named: every way in which that goes wrong, in one line each."""

from __future__ import annotations

from pathlib import Path

from mmchat.errors import UserError


def read_file(path: Path, *, kind: str, limit: int, error: type[UserError]) -> bytes:
    """The bytes of a file.

    Args:
        path: the file, as the person wrote it; error messages repeat it so.
        kind: what was wanted, with its article: "a picture", "a clip".
        limit: the most bytes to accept; not more than one byte beyond it is ever read.
        error: the class to raise.

    Raises:
        UserError: of class `error`: missing, a folder, unreadable, empty, or over the limit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as reason:
        raise error(f"{path}: no such file") from reason
    except IsADirectoryError as reason:
        raise error(f"{path}: this is a folder; give {kind}") from reason
    except (OSError, ValueError) as reason:
        # Windows refuses to open a folder with "permission denied"; ValueError is a NUL inside the path.
        if path.is_dir():
            raise error(f"{path}: this is a folder; give {kind}") from reason
        why = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason)
        raise error(f"{path}: cannot be read: {why}") from reason
    check_size(data, str(path), kind=kind, limit=limit, error=error)
    return data


def check_size(data: bytes, label: str, *, kind: str, limit: int, error: type[UserError]) -> None:
    """Refuse no bytes at all and more than `limit` of them.

    Raises:
        UserError: of class `error`.
    """
    if not data:
        raise error(f"{label}: the file is empty; give {kind}")
    if len(data) > limit:
        raise error(f"{label}: the file is larger than {limit // 2**20} MB; give {kind} in a smaller file")
