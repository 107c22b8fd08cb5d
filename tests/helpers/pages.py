"""What a page of runs holds."""

from __future__ import annotations

import base64
import gzip
import re


def unpack(page: str, block: str) -> str:
    """A block of the page that is packed."""
    (packed,) = re.findall(f'<script type="text/plain" id="{block}">([A-Za-z0-9+/=]+)</script>', page)
    return gzip.decompress(base64.b64decode(packed)).decode()
