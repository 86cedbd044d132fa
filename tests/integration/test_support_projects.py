"""The small projects that tests write run under plain Alembic, up, down and as SQL."""

from tests.support.gate import run_alembic
from tests.support.projects import revision_source, write_project


def test_a_written_project_runs_under_plain_alembic(database, tmp_path):
    first = revision_source("a1", upgrade='op.execute("CREATE TABLE t (i INT)")', downgrade='op.drop_table("t")')
    write_project(tmp_path, [first], url=database.url)
    for arguments, tables in (
        (["upgrade", "head"], {"alembic_version", "t"}),
        (["downgrade", "base"], {"alembic_version"}),
    ):
        done = run_alembic(*arguments, env={}, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert set(database.schema()["tables"]) == tables
    assert "CREATE TABLE t" in run_alembic("upgrade", "head", "--sql", env={}, cwd=tmp_path).stdout
