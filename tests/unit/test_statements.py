"""What a statement is and what it touches, in examples of each kind; unsure is allowed, wrong is not (I3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alembic_gate import statements
from alembic_gate.statements import Kind

pytestmark = pytest.mark.I3

KINDS = {
    Kind.PLAIN: [
        "SELECT 1",
        "select * from t",
        "  \n\t SELECT 1",
        "(SELECT 1) UNION (SELECT 2)",
        "/* why */ INSERT INTO t VALUES (1)",
        "-- why\nUPDATE t SET a = 1",
        "# why\nDELETE FROM t",
        "--\nREPLACE INTO t VALUES (1)",
        "WITH c AS (SELECT 1) DELETE FROM t WHERE a IN (SELECT * FROM c)",
        "SHOW TABLES",
        "DESCRIBE `t`",
        "EXPLAIN SELECT 1",
        "SAVEPOINT a",
        "RELEASE SAVEPOINT a",
        "ROLLBACK TO SAVEPOINT a",
        "ROLLBACK WORK TO a",
        "DO SLEEP(0)",
        "LOAD DATA INFILE 'x' INTO TABLE t",
        "TABLE t",
        "VALUES ROW(1)",
        "INSERT INTO t VALUES ('ALTER TABLE t ADD a INT')",
    ],
    Kind.SESSION: [
        "SET @a = 1",
        "SET NAMES utf8mb4",
        "SET SESSION sql_mode = ''",
        "set foreign_key_checks = 0",
        "USE other",
        "PREPARE p FROM 'SELECT 1'",
        "DEALLOCATE PREPARE p",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    ],
    Kind.TEMPORARY: [
        "CREATE TEMPORARY TABLE t (a INT)",
        "create temporary table if not exists t select 1",
        "DROP TEMPORARY TABLE t",
        "CREATE OR REPLACE TEMPORARY TABLE t (a INT)",
    ],
    Kind.ENDS_TRANSACTION: [
        "COMMIT",
        "commit work",
        "ROLLBACK",
        "BEGIN",
        "START TRANSACTION READ ONLY",
        "ROLLBACK AND CHAIN",
    ],
    Kind.COMMITS: [
        "CREATE TABLE t (a INT)",
        "ALTER TABLE t ADD b INT",
        "DROP TABLE t",
        "RENAME TABLE a TO b",
        "TRUNCATE t",
        "CREATE INDEX i ON t (a)",
        "GRANT SELECT ON t TO u",
        "CREATE USER u IDENTIFIED BY 'x'",
        "SET PASSWORD = 'x'",
        "SET autocommit = 0",
        "SET @@autocommit = 1",
        "SET sql_mode = '', SESSION autocommit=1",
        "LOCK TABLES t WRITE",
        "UNLOCK TABLES",
        "ANALYZE TABLE t",
        "OPTIMIZE TABLE t",
        "CALL p()",
        "EXECUTE p",
        "EXECUTE IMMEDIATE 'ALTER TABLE t ADD a INT'",
        "LOAD INDEX INTO CACHE t",
        "/*!50001 CREATE VIEW v AS SELECT 1 */",
        "/*M!100100 ALTER TABLE t ADD a INT */",
        "SET STATEMENT max_statement_time = 10 FOR ALTER TABLE t ADD a INT",
        "BEGIN NOT ATOMIC ALTER TABLE t ADD a INT; END",
        "IF 1 THEN ALTER TABLE t ADD a INT; END IF",
        "WHATEVER comes next",
        "",
        ";",
    ],
}


@pytest.mark.parametrize(("kind", "statement"), [(kind, each) for kind, all_ in KINDS.items() for each in all_])
def test_what_a_statement_does_to_its_transaction(kind, statement):
    assert statements.kind(statement) is kind


TARGETS = {
    "CREATE TABLE t (a INT, b TEXT COMMENT 'x, y')": "TABLE `t`",
    "CREATE TABLE IF NOT EXISTS `s`.`t` (a INT)": "TABLE `s`.`t`",
    "CREATE TABLE `odd ``name`` (x)` (a INT)": "TABLE `odd ``name`` (x)`",
    'CREATE TABLE "ansi" (a INT)': "TABLE `ansi`",
    "CREATE TABLE 用户 (a INT)": "TABLE `用户`",
    "CREATE OR REPLACE TABLE t (a INT)": "TABLE `t`",
    "CREATE TABLE t LIKE u": "TABLE `t`",
    "CREATE TABLE t AS SELECT * FROM u": "TABLE `t`",
    "\n    ALTER TABLE t\n      ADD a INT,\n      ADD b INT\n": "TABLE `t`",
    "ALTER TABLE a RENAME TO b": "TABLE `a`",
    "ALTER TABLE t RENAME INDEX a TO b": "TABLE `t`",
    "ALTER IGNORE TABLE t ADD UNIQUE (a)": "TABLE `t`",
    "ALTER ONLINE TABLE t ADD a INT": "TABLE `t`",
    "DROP TABLE a, `b`, s.c": "TABLE `a`, TABLE `b`, TABLE `s`.`c`",
    "DROP TABLE IF EXISTS a CASCADE": "TABLE `a`",
    "TRUNCATE t": "TABLE `t`",
    "truncate table t": "TABLE `t`",
    "RENAME TABLE a TO b, c TO d": "TABLE `a`, TABLE `b`, TABLE `c`, TABLE `d`",
    "RENAME TABLE a TO x, b TO a, x TO b": "TABLE `a`, TABLE `x`, TABLE `b`",
    "RENAME TABLES `to` TO t": "TABLE `to`, TABLE `t`",
    "CREATE INDEX i ON t (a)": "TABLE `t`",
    "CREATE UNIQUE INDEX i USING BTREE ON `s`.`t`(a)": "TABLE `s`.`t`",
    "CREATE FULLTEXT INDEX `on` ON t (a) WITH PARSER ngram": "TABLE `t`",
    "CREATE INDEX IF NOT EXISTS i ON t (a)": "TABLE `t`",
    "DROP INDEX i ON t": "TABLE `t`",
    "DROP INDEX `PRIMARY` ON t": "TABLE `t`",
    "CREATE VIEW v AS SELECT * FROM t": "TABLE `v`",
    "CREATE OR REPLACE VIEW v AS SELECT 1": "TABLE `v`",
    "CREATE ALGORITHM=MERGE DEFINER=`root`@`%` SQL SECURITY INVOKER VIEW v AS SELECT 1": "TABLE `v`",
    "ALTER ALGORITHM = TEMPTABLE VIEW v AS SELECT 1": "TABLE `v`",
    "DROP VIEW IF EXISTS v, w": "TABLE `v`, TABLE `w`",
    "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.a = 1; SET NEW.b = 2; END": "TRIGGER `r`",
    "CREATE DEFINER='u'@'localhost' TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1": "TRIGGER `r`",
    "DROP TRIGGER s.r": "TRIGGER `s`.`r`",
    "CREATE PROCEDURE p() BEGIN SELECT 1; END": "PROCEDURE `p`",
    "CREATE DEFINER=CURRENT_USER() FUNCTION f(a INT) RETURNS INT RETURN a": "FUNCTION `f`",
    "CREATE AGGREGATE FUNCTION f(a INT) RETURNS INT RETURN a": "FUNCTION `f`",
    "DROP FUNCTION IF EXISTS f": "FUNCTION `f`",
    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t": "EVENT `e`",
    "ALTER EVENT e DISABLE": "EVENT `e`",
    "CREATE SEQUENCE s START WITH 1": "TABLE `s`",
    "CREATE DATABASE d": "DATABASE `d`",
    "DROP SCHEMA IF EXISTS d": "DATABASE `d`",
    "SET STATEMENT max_statement_time = 10 FOR ALTER TABLE t ADD a INT": "TABLE `t`",
}


@pytest.mark.parametrize(("statement", "touched"), TARGETS.items())
def test_what_a_ddl_touches(statement, touched):
    assert ", ".join(map(str, statements.targets(statement) or ())) == touched


@pytest.mark.parametrize(
    "statement",
    [
        "/*!50001 CREATE VIEW v AS SELECT 1 */",
        "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`%`*/ /*!50003 TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET @a = 1 */",
        "GRANT SELECT ON t TO u",
        "CALL p()",
        "EXECUTE p",
        "ANALYZE TABLE t",
        "BEGIN NOT ATOMIC ALTER TABLE t ADD a INT; END",
        "CREATE USER u",
        "LOCK TABLES t WRITE",
    ],
)
def test_where_it_cannot_be_told_the_whole_schema_counts(statement):
    assert statements.targets(statement) is None


# A statement as its tokens, so that anything may stand between them.
TOKENS = [
    ["CREATE", "TABLE", "`t`", "(a INT)"],
    ["CREATE", "TABLE", "IF", "NOT", "EXISTS", "t", "(a INT)"],
    ["ALTER", "TABLE", "t", "ADD", "a", "INT"],
    ["DROP", "TABLE", "a", ",", "b", ",", "c"],
    ["DROP", "TABLE", "IF", "EXISTS", "s.a", ",", "b"],
    ["RENAME", "TABLE", "a", "TO", "b", ",", "c", "TO", "d"],
    ["CREATE", "UNIQUE", "INDEX", "i", "ON", "t", "(a)"],
    ["DROP", "INDEX", "i", "ON", "t"],
    ["CREATE", "OR", "REPLACE", "VIEW", "v", "AS", "SELECT", "1"],
    ["CREATE", "TRIGGER", "r", "BEFORE", "INSERT", "ON", "t", "FOR", "EACH", "ROW", "SET @a = 1"],
    ["DROP", "TRIGGER", "IF", "EXISTS", "r"],
    ["TRUNCATE", "TABLE", "t"],
    ["CREATE", "TEMPORARY", "TABLE", "t", "(a INT)"],
    ["INSERT", "INTO", "t", "VALUES", "(1)"],
    ["SET", "autocommit", "=", "0"],
    ["SET", "@a", "=", "1"],
    ["COMMIT", "AND", "CHAIN"],
]
blanks = st.text(" \t\n", min_size=1, max_size=3)
comments = st.sampled_from(["/* b */", " /**/ ", "-- , b\n", "--\n", "# TABLE b\n", "/* TO */\n"])


def joined(tokens: list[str], draw_between) -> str:
    text = tokens[0]
    for token in tokens[1:]:
        text += draw_between() + token
    return text


def shown(statement: str) -> list[str] | None:
    touched = statements.targets(statement)
    return None if touched is None else [str(target) for target in touched]


@given(st.sampled_from(TOKENS), st.data())
def test_blanks_and_line_ends_change_nothing(tokens, data):
    statement = data.draw(blanks | st.just("")) + joined(tokens, lambda: data.draw(blanks))
    plain = " ".join(tokens)
    assert statements.kind(statement) is statements.kind(plain)
    assert shown(statement) == shown(plain)
    assert statements.is_repeatable(statement) == statements.is_repeatable(plain)
    assert statements.is_drop(statement) == statements.is_drop(plain)


@given(st.sampled_from(TOKENS), st.data())
def test_comments_make_a_statement_unclear_at_worst(tokens, data):
    statement = data.draw(comments | st.just("")) + joined(tokens, lambda: " " + data.draw(comments | blanks) + " ")
    plain = " ".join(tokens)
    assert statements.kind(statement) in (statements.kind(plain), Kind.COMMITS)
    assert shown(statement) in (shown(plain), None)


@given(st.sampled_from(TOKENS), st.sampled_from([str.lower, str.title]))
def test_upper_and_lower_case_change_nothing(tokens, recased):
    words = {"t", "a", "b", "c", "d", "i", "v", "r", "s.a", "`t`", "(a)", "(1)", "(a INT)", "SET @a = 1", "@a"}
    other = " ".join(token if token in words else recased(token) for token in tokens)
    assert statements.kind(other) is statements.kind(" ".join(tokens))
    assert shown(other) == shown(" ".join(tokens))


@given(st.text())
def test_no_text_at_all_upsets_the_reader(text):
    assert statements.kind(text) in Kind
    statements.targets(text)
    statements.is_repeatable(text)
    statements.assigned_variables(text)
    assert len(statements.summary(text)) <= 120


REPEATABLE = [
    "CREATE TABLE t (a INT)",
    "CREATE OR REPLACE TABLE t (a INT)",
    "CREATE TABLE IF NOT EXISTS t (a INT COMMENT 'one; two')",
    "ALTER TABLE t ADD a INT",
    "ALTER TABLE t AUTO_INCREMENT = 5",
    "ALTER TABLE a RENAME TO b",
    "DROP TABLE IF EXISTS t",
    "RENAME TABLE a TO b",
    "RENAME TABLE a TO b, c TO d",
    "TRUNCATE t",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END",
    "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
    "CREATE INDEX i ON t (a)",
    "ANALYZE TABLE t",
    "GRANT SELECT ON t TO u",
    "ALTER TABLE t ADD a INT;",
]
NOT_REPEATABLE = [
    "CALL p()",
    "call p",
    "BEGIN NOT ATOMIC ALTER TABLE t ADD a INT; END",
    "CREATE USER u IDENTIFIED BY 'x'",
    "DROP USER u",
    "RENAME USER u TO v",
    "REVOKE SELECT ON t FROM u",
    "SET PASSWORD = 'x'",
    "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u",
    "ALTER TABLE t IMPORT TABLESPACE",
    "ALTER TABLE t DISCARD PARTITION p TABLESPACE",
    "UPDATE t SET a = a + 1; UPDATE t SET a = a + 1",
]


@pytest.mark.parametrize("statement", REPEATABLE)
def test_a_ddl_that_its_target_shows_may_be_run_again_where_nothing_changed(statement):
    assert statements.is_repeatable(statement)


@pytest.mark.parametrize("statement", NOT_REPEATABLE)
def test_what_leaves_no_trace_may_not_be_run_again(statement):
    assert not statements.is_repeatable(statement)


@pytest.mark.parametrize(
    ("statement", "drops"),
    [
        ("DROP TABLE a, b", True),
        ("drop view v", True),
        ("DROP TRIGGER r", True),
        ("DROP INDEX i ON t", False),
        ("ALTER TABLE t DROP COLUMN a", False),
        ("TRUNCATE t", False),
    ],
)
def test_only_what_removes_its_target_is_a_drop(statement, drops):
    assert statements.is_drop(statement) == drops


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("SET @a = 1", ["a"]),
        ("SET @a = 1, @b := 2", ["a", "b"]),
        ("SELECT @n := COUNT(*) FROM t", ["n"]),
        ("SELECT COUNT(*), MAX(a) INTO @n, @m FROM t", ["m", "n"]),
        ("SELECT @a", []),
        ("SELECT @@autocommit", []),
        ("SET @@session.sql_mode = ''", []),
        ("INSERT INTO t VALUES ('me@example.org=1')", []),
        ("SELECT 1", []),
    ],
)
def test_user_variables_that_a_statement_sets_are_known(statement, names):
    assert statements.assigned_variables(statement) == names


@pytest.mark.parametrize(
    ("statement", "again"),
    [
        ("SET NAMES utf8mb4", True),
        ("SET @a = 1", True),
        ("SET SESSION sql_mode = CONCAT(@@sql_mode, ',ANSI')", True),
        ("SET @a = (SELECT COUNT(*) FROM t)", False),
    ],
)
def test_what_was_computed_from_the_data_is_not_computed_again(statement, again):
    assert statements.is_sent_again(statement) == again


def test_a_summary_is_one_line_of_bounded_length():
    assert statements.summary("ALTER TABLE t\n    ADD a INT") == "ALTER TABLE t ADD a INT"
    assert statements.summary("x" * 500, 10) == "xxxxxxxxx…"
