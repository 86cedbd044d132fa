"""Stands in for the entrypoint of the official MySQL image, where no registry has it: runs in a container.

An unpacked server is mounted at /opt/mysql. The variables are the official image's; the password of root is left empty.
"""

import os
import subprocess
from pathlib import Path

ROOT, DATA, FIRST = "/opt/mysql", "/var/lib/mysql", Path("/tmp/first.sql")


def main() -> None:
    (loader,) = Path(ROOT, "usr/lib").glob("*-linux-gnu/ld-linux-*.so.*")
    libraries = f"{loader.parent}:{ROOT}/usr/lib/mysql/private"
    server = [str(loader), "--library-path", libraries, f"{ROOT}/usr/sbin/mysqld", "--no-defaults", "--user=root"]
    server += [f"--basedir={ROOT}/usr", f"--datadir={DATA}", "--mysqlx=OFF", "--socket=/tmp/mysql.sock"]
    if not Path(DATA, "mysql.ibd").exists():
        subprocess.run([*server, "--initialize-insecure"], check=True)
    FIRST.write_text(_first_statements(os.environ), encoding="utf-8")
    os.execv(loader, [*server, f"--init-file={FIRST}", "--pid-file=/tmp/mysql.pid", "--secure-file-priv=NULL"])


def _first_statements(environ: "os._Environ[str]") -> str:
    """Return what makes the database and its user; an init file has one statement a line."""
    database, user = environ["MYSQL_DATABASE"], environ["MYSQL_USER"]
    password = environ["MYSQL_PASSWORD"].replace("\\", "\\\\").replace("'", "''")
    return (
        f"CREATE DATABASE IF NOT EXISTS `{database}`;\n"
        f"CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON `{database}`.* TO '{user}'@'%';\n"
    )


if __name__ == "__main__":
    main()
