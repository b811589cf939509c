"""A file system on which folders that aren't empty can't be renamed, like a mounted bucket without a
hierarchy.

`python -m tests.storages.flat_mount MODULE ...` runs a module on it.
"""

import errno
import os
import runpy
import sys
from pathlib import Path

RENAMES = ("rename", "replace", "renames")


def refusing(rename):
    """The function, refusing folders that aren't empty."""

    def renamed(source, *args, **options):
        if os.path.isdir(source) and os.listdir(source):
            raise OSError(errno.ENOTSUP, "a folder that isn't empty can't be renamed", str(source))
        return rename(source, *args, **options)

    return renamed


def refuse_folder_renames(monkeypatch) -> None:
    """For this process, until the test ends."""
    for owner in (os, Path):
        for name in RENAMES:
            if hasattr(owner, name):
                monkeypatch.setattr(owner, name, refusing(getattr(owner, name)))


if __name__ == "__main__":
    for function in RENAMES:
        setattr(os, function, refusing(getattr(os, function)))
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
