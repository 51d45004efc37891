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
            from altair.utils import schemapi

            schemapi.DEBUG_MODE = False  # it checks every part when it is made; what a chart became is checked by tests
            return getattr(altair, name)

    ChartType, alt = Any, _Later()
