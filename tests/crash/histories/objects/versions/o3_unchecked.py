"""A session setting that must hold on both sides of a DDL; several tables dropped by one statement."""

from alembic import op

revision = "o3"
down_revision = "o2"


def upgrade() -> None:
    op.execute("SET FOREIGN_KEY_CHECKS = 0")
    op.execute("CREATE TABLE loan (id INT PRIMARY KEY, volume_id INT, FOREIGN KEY (volume_id) REFERENCES volume (id))")
    op.execute("INSERT INTO loan VALUES (1, 404)")
    op.execute("CREATE TABLE fine (id INT PRIMARY KEY, loan_id INT, FOREIGN KEY (loan_id) REFERENCES loan (id))")
    op.execute("INSERT INTO fine VALUES (1, 404)")
    op.execute("SET FOREIGN_KEY_CHECKS = 1")
    op.execute("INSERT INTO fine VALUES (2, 1)")


def downgrade() -> None:
    op.execute("SET FOREIGN_KEY_CHECKS = 0")
    op.execute("INSERT INTO loan VALUES (2, 405)")
    op.execute("DROP TABLE loan, fine")
    op.execute("SET FOREIGN_KEY_CHECKS = 1")
