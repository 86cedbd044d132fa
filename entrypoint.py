"""The container's entrypoint: hands over to the package."""

import sys

from alembic_gate.cli import main

if __name__ == "__main__":
    sys.exit(main())
