"""A revision without a statement."""

revision = "f5"
down_revision = "f4"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
