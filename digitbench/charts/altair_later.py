"""Altair, which is imported when the first chart is drawn: that takes a second, and not everybody has it installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["ChartType", "alt"]

if TYPE_CHECKING:
    import altair as alt
    from altair.typing import ChartType
else:

    class _Later:
        def __getattr__(self, name: str) -> Any:
            import altair

            return getattr(altair, name)

    ChartType, alt = Any, _Later()
