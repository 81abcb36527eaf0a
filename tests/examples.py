"""Number of examples of property tests.

The full number in continuous integration, a tenth elsewhere.
"""

from __future__ import annotations

import os


def examples(number: int) -> int:
    """`number` if CI is set, else a tenth of it, at least 10."""
    return number if os.environ.get("CI") else max(10, number // 10)
