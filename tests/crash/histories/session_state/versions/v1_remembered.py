"""What only the server's session remembers, used on the far side of a DDL: here LAST_INSERT_ID().

Every one of them is gone when the job is killed. To refuse is right here, to guess is not.
"""

from alembic import op

revision = "v1"
down_revision = None


def upgrade() -> None:
    op.execute("CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(20))")
    op.execute("INSERT INTO parent (id, name) VALUES (41, 'a')")
    op.execute("INSERT INTO parent (name) VALUES ('b')")
    op.execute("CREATE TABLE child (id INT PRIMARY KEY, parent_id INT)")
    op.execute("INSERT INTO child VALUES (1, LAST_INSERT_ID())")


def downgrade() -> None:
    op.execute("DROP TABLE child, parent")
