"""The small projects that tests write are ones that Alembic understands."""

from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.support.projects import revision_source, write_project


def test_a_project_of_two_revisions_has_one_history(tmp_path):
    first = revision_source("a1", upgrade='op.execute("SELECT 1")\nop.execute("SELECT 2")')
    config = write_project(tmp_path, [first, revision_source("b2", "a1")], url="mysql+pymysql://u:p%40@h/d")
    scripts = ScriptDirectory.from_config(Config(config))
    assert [script.revision for script in scripts.walk_revisions()] == ["b2", "a1"]
    assert Config(config).get_main_option("sqlalchemy.url") == "mysql+pymysql://u:p%40@h/d"
    scripts.get_revision("a1").module.downgrade()


def test_files_may_be_named_otherwise_than_their_revisions(tmp_path):
    write_project(tmp_path, {"0001_first": revision_source("a1")})
    assert (tmp_path / "migrations/versions/0001_first.py").exists()
