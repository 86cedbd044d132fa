"""The users of the application."""

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from model.base import TABLE_OPTIONS, Base


class User(Base):
    """Somebody who logs in by name or by e-mail address."""

    __tablename__ = "user"
    __table_args__ = (
        Index("ix_user_pwd", "username", "password"),
        Index("ix_email_pwd", "email", "password"),
        TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(32))
    password: Mapped[str] = mapped_column(String(32))
    email: Mapped[str] = mapped_column(String(32))

    def __repr__(self) -> str:
        # The password stays out: a repr ends up in logs.
        return f"User(id={self.id!r}, username={self.username!r}, email={self.email!r})"
