"""Look at a database again and again, as starts do, without a process each: `python -m bench.light URL N TOTAL`.

It calls the gate's own functions, so the server sees what it sees of real starts.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from alembic_gate import connect, glance, settings
from alembic_gate.classify import Kind, classify


def main() -> None:
    """Print how many looks succeeded, how many were turned away, and how long a look took in the middle."""
    url, at_once, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    database = settings.read({"DATABASE_URL": url}).database

    def look(_: int) -> float | None:
        started = time.perf_counter()
        try:
            connection = connect.connect(database, quick=True)
        except connect.Error as error:
            if classify(error)[0] is not Kind.TRANSIENT:
                raise
            return None
        with connection:
            glance.look(connection)
        return time.perf_counter() - started

    with ThreadPoolExecutor(at_once) as threads:
        taken = list(threads.map(look, range(total)))
    seconds = sorted(each for each in taken if each is not None)
    print(len(seconds), len(taken) - len(seconds), seconds[len(seconds) // 2])


if __name__ == "__main__":
    main()
