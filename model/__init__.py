"""The application's models; importing this package registers every table on `Base.metadata`.

A new model needs its line here: Alembic's autogenerate sees only what has been imported.
"""

from model.base import Base
from model.role import Role
from model.user import User

__all__ = ["Base", "Role", "User"]
