"""An ALTER behind an open transaction is given up and tried again, so that the queries behind it get through."""

import pytest

from tests.integration.scenes import PEOPLE, open_transaction_on
from tests.support.database import Database


@pytest.mark.I3
def test_an_alter_lets_others_pass_and_ends_when_the_transaction_does(database: Database, new_project):
    project = new_project(database, PEOPLE)
    project.ends(0, "upgrade", "a1")
    with open_transaction_on(database, "people"):
        job = project.start(GATE_METADATA_LOCK_SECONDS="1")
        job.until_logged("waits for a metadata lock")
        with database.connect(read_timeout=10) as reader, reader.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM people")
            assert cursor.fetchone() == (2,)
        assert job.process.poll() is None
    job.ends(0)
    assert database.query("SELECT SUM(visits) FROM people") == ((2,),)


@pytest.mark.I6
def test_an_alter_that_gets_no_metadata_lock_in_time_ends_with_12_and_the_next_start_finishes(
    database: Database, new_project
):
    project = new_project(database, PEOPLE)
    project.ends(0, "upgrade", "a1")
    with open_transaction_on(database, "people"):
        said = project.ends(12, GATE_METADATA_LOCK_SECONDS="1", GATE_LOCK_TIMEOUT_SECONDS="2")
    assert "got no metadata lock" in said
    project.ends(0)
    assert database.query("SELECT SUM(visits) FROM people") == ((2,),)
