"""The roles that users can have."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from model.base import Base


class Role(Base):
    """A named role."""

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(primary_key=True)
    # MySQL refuses a VARCHAR without a length.
    name: Mapped[str] = mapped_column(String(32))

    def __repr__(self) -> str:
        return f"Role(id={self.id!r}, name={self.name!r})"
