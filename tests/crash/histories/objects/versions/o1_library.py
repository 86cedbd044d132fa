"""Tables with foreign keys, a view, a trigger and stored routines."""

import sqlalchemy as sa
from alembic import op

revision = "o1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "author", sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), sa.Column("name", sa.String(40))
    )
    op.create_table(
        "book",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("author_id", sa.Integer, nullable=False),
        sa.Column("title", sa.String(40)),
        sa.ForeignKeyConstraint(["author_id"], ["author.id"], name="fk_book_author"),
    )
    op.execute("CREATE TRIGGER count_books AFTER INSERT ON book FOR EACH ROW UPDATE tally SET n = n + 1")
    op.execute("INSERT INTO author VALUES (1, '鲁迅'), (2, '老舍')")
    op.execute("INSERT INTO book VALUES (1, 1, '呐喊')")
    op.execute("CREATE VIEW shelf AS SELECT b.title, a.name FROM book b JOIN author a ON a.id = b.author_id")
    op.execute("CREATE PROCEDURE lend (IN how_many INT) UPDATE tally SET n = n + how_many WHERE name = 'first'")
    op.execute("CREATE FUNCTION doubled (x INT) RETURNS INT DETERMINISTIC RETURN x * 2")
    op.execute("CALL lend(10)")
    op.execute("INSERT INTO book SELECT doubled(2), 2, '茶馆'")


def downgrade() -> None:
    op.execute("CALL lend(100)")
    op.execute("DROP FUNCTION doubled")
    op.execute("DROP PROCEDURE lend")
    op.execute("DROP VIEW shelf")
    op.execute("DROP TRIGGER count_books")
    op.execute("UPDATE tally SET n = n + 1 WHERE name = 'first'")
    op.execute("DROP TABLE book, author")
