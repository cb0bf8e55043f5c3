"""`python -m mmchat`."""

from __future__ import annotations

import sys

from mmchat.cli import main

if __name__ == "__main__":
    sys.exit(main())
