"""A migration job for containers: brings a database to the head of its Alembic scripts, or says why not."""

__version__ = "0.1.0"
