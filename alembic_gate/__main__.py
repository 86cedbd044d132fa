"""`python -m alembic_gate` is the command `alembic-gate`."""

from alembic_gate.cli import run

if __name__ == "__main__":
    run()
