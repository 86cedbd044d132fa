"""A migration job for containers: brings a MySQL or MariaDB schema to the head of its Alembic scripts, or says why not."""

__version__ = "0.1.0"
