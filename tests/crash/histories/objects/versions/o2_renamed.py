"""Renames of a table and a column, a foreign key dropped and made anew, a view and a trigger replaced."""

import sqlalchemy as sa
from alembic import op

revision = "o2"
down_revision = "o1"


def upgrade() -> None:
    op.execute("DROP TRIGGER count_books")
    op.rename_table("book", "volume")
    op.alter_column("volume", "title", new_column_name="heading", existing_type=sa.String(40))
    op.drop_constraint("fk_book_author", "volume", type_="foreignkey")
    op.execute("UPDATE volume SET heading = CONCAT(heading, '！')")
    op.create_foreign_key("fk_volume_author", "volume", "author", ["author_id"], ["id"], ondelete="CASCADE")
    op.execute("CREATE OR REPLACE VIEW shelf AS SELECT v.heading, v.id FROM volume v")
    op.execute("CREATE TRIGGER count_volumes BEFORE DELETE ON volume FOR EACH ROW UPDATE tally SET n = n + 7")
    op.execute("DELETE FROM volume WHERE id = 1")
    op.execute("RENAME TABLE author TO writer, tally TO tally_aside, tally_aside TO tally")


def downgrade() -> None:
    op.rename_table("writer", "author")
    op.execute("DELETE FROM volume WHERE id = 4")
    op.execute("DROP TRIGGER count_volumes")
    op.drop_constraint("fk_volume_author", "volume", type_="foreignkey")
    op.execute("ALTER TABLE volume RENAME COLUMN heading TO title, RENAME TO book")
    op.execute("INSERT INTO book VALUES (5, 2, '骆驼祥子')")
    op.create_foreign_key("fk_book_author", "book", "author", ["author_id"], ["id"])
    op.execute("CREATE OR REPLACE VIEW shelf AS SELECT b.title FROM book b")
    op.execute("CREATE TRIGGER count_books AFTER INSERT ON book FOR EACH ROW UPDATE tally SET n = n + 1")
