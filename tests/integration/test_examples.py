"""The examples do what they show, on both servers: the models in business code, blocking and asynchronous."""

import re
import subprocess
import sys

import pytest

from tests.support.database import Database
from tests.support.gate import ROOT, run_alembic


@pytest.mark.parametrize(("example", "driver"), [("examples.orm", "pymysql"), ("examples.orm_async", "asyncmy")])
def test_example_adds_changes_and_finds_users(database: Database, example: str, driver: str) -> None:
    assert run_alembic("upgrade", "head", env=database.env(), cwd=ROOT).returncode == 0
    url = re.sub(r"\+pymysql", f"+{driver}", database.url)

    shown = subprocess.run(
        [sys.executable, "-m", example],
        env={"DATABASE_URL": url, "LANG": "C.UTF-8"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        "User(id=1, username='ann-marie', email='ann@example.com')",
        "User(id=2, username='小明', email='xiaoming@example.com')",
        "Role(id=1, name='admin')",
        "Role(id=2, name='reader')",
    ]
    assert shown.stderr == ""
    assert database.query("SELECT username FROM user ORDER BY id") == (("ann-marie",), ("小明",))
