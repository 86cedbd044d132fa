"""Case "idle": a start that finds nothing to do, with short and long histories (I4)."""

from bench.measure import Command, Figures, interleaved, run
from bench.stage import Stage

COUNTS = (3, 1_000, 10_000)
NO_OP = "DO 0"
SHORTEST = f"gate, {COUNTS[0]} revisions"


def measure(stage: Stage) -> dict[str, dict[str, Figures]]:
    """Return the figures of each tool for each length of history; the shortest takes turns with the longer ones too."""
    results: dict[str, dict[str, Figures]] = {}
    beside: dict[str, Command] = {}
    for count in COUNTS[:1] if stage.quick else COUNTS:
        commands = _commands(stage, count)
        runs = max(3, stage.runs // 2) if count > 1_000 else stage.runs
        results[str(count)] = interleaved(commands | beside, runs)
        beside = beside or {SHORTEST: commands["gate"]}
    return results


def _commands(stage: Stage, count: int) -> dict[str, Command]:
    folder, shared = stage.new_folder(), stage.database()
    commands: dict[str, Command] = {}
    for tool in stage.tools:
        if count > tool.longest_history:
            continue
        tool.write(folder / tool.name, [NO_OP] * count)
        # The gate comes first: Alembic then stands before the same database, with the gate's journal in it.
        database = shared if tool in stage.gate_and_alembic else stage.database()
        commands[tool.name] = tool.command(folder / tool.name, database)
        run(commands[tool.name])
    arena = stage.arena
    commands["gate without a manifest"] = arena.gate(folder / "alembic", shared.url)
    commands["gate by pip"] = arena.gate_by_pip(folder / "gate", shared.url)
    commands["python and PyMySQL, one SELECT"] = arena.raw_client(shared)
    commands["python"] = arena.interpreter("-c", "pass")
    commands["true"] = Command(["true"])
    return commands
