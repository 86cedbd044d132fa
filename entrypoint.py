"""The container's entrypoint: hands over to the package."""

from alembic_gate.cli import run

if __name__ == "__main__":
    run()
