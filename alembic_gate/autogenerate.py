"""An Alembic plugin: `alembic revision --autogenerate` and `alembic check` never propose to drop our tables.

Found by its entry point, so that any project's env.py stays as it is. Its name is within the
`alembic.autogenerate.*` that Alembic includes by default: https://alembic.sqlalchemy.org/en/latest/api/plugins.html
"""

from typing import Any

from alembic.util import DispatchPriority

NAME = "alembic.autogenerate.gate_tables"
_OURS = ("alembic_gate_revision", "alembic_gate_lease")


def setup(plugin: Any) -> None:
    """Register with Alembic, after everything that finds differences."""
    plugin.add_autogenerate_comparator(_leave_out_ours, "autogenerate", "alembic_gate", priority=DispatchPriority.LAST)


def _leave_out_ours(_context: Any, upgrade_ops: Any) -> None:
    upgrade_ops.ops[:] = [op for op in upgrade_ops.ops if getattr(op, "table_name", None) not in _OURS]
