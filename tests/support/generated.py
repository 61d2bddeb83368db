"""How many generated examples a property is tried with."""

from __future__ import annotations

from hypothesis import settings


def examples(count: int) -> int:
    """`count` in the long profile, a tenth of it in the short one."""
    return count if settings.get_current_profile_name() == "long" else count // 10
