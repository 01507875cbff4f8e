"""A time of day as logs write it."""

import time


def utc(at: float) -> str:
    """Seconds since 1970 as `2026-01-31T23:59:59.123Z`."""
    whole, part = divmod(at, 1)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int(1000 * part):03d}Z"
