"""`backends`."""

from __future__ import annotations

from digitbench.commands.options import open_console


def backends() -> None:
    """List the backends: runtime and version, what each opens, where it comes from or how to install it.

    Examples
    --------
    digitbench backends
    """
    from digitbench import plugins
    from digitbench.report.terminal import print_backends

    print_backends(plugins.listing(), open_console())
