"""Case "apply": a thousand revisions of one CREATE TABLE each, brought to an empty database."""

from bench.measure import Command, Figures, figures, run
from bench.stage import Stage
from tests.support.database import Database

COUNT = 1_000
TABLE = "CREATE TABLE t{:05} (id BIGINT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(50) NOT NULL, INDEX (name))"


def measure(stage: Stage) -> dict[str, dict[str, Figures]]:
    """Return the figures of each tool; in each round all start once, each on its own emptied database."""
    statements = [TABLE.format(number) for number in range(10 if stage.quick else COUNT)]
    folder = stage.new_folder()
    commands: dict[str, tuple[Command, Database]] = {}
    for tool in stage.tools:
        if len(statements) > tool.longest_history:
            continue
        tool.write(folder / tool.name, statements)
        database = stage.database()
        commands[tool.name] = (tool.command(folder / tool.name, database), database)
    sql = folder / "statements.sql"
    sql.write_text("\n".join(statements))
    database = stage.database()
    commands["python and PyMySQL, the same SQL"] = (stage.arena.raw_client(database, sql), database)

    rounds = []
    for _ in range(max(1, stage.runs // 10)):
        rounds.append({name: run(command) for name, (command, _) in commands.items()})
        for _, database in commands.values():
            assert database.query("SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 't0%%'") == (
                (len(statements),),
            )
            stage.empty(database)
    return {str(len(statements)): {name: figures([each[name] for each in rounds]) for name in commands}}
