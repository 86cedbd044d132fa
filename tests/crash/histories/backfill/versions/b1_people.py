"""Rows of every type that a driver has to carry both ways."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "b1"
down_revision = None

PEOPLE = [
    {
        "id": 1,
        "full_name": "李 小龙",
        "born": datetime(1940, 11, 27, 7, 12, 0, 123456),
        "joined": date(1970, 1, 1),
        "shift": timedelta(hours=-30, minutes=5),
        "balance": Decimal("-12345678.0900"),
        "token": b"\x00\xff'\\%\"\n",
        "weight": 0.1,
        "active": True,
    },
    {
        "id": 2,
        "full_name": "Zoë O'Neill 🐉",
        "born": None,
        "joined": None,
        "shift": None,
        "balance": None,
        "token": None,
        "weight": None,
        "active": None,
    },
    {
        "id": 9_000_000_000,
        "full_name": "100% \\ %s",
        "born": datetime(9999, 12, 31, 23, 59, 59, 999999),
        "joined": date(2000, 2, 29),
        "shift": timedelta(0),
        "balance": Decimal("0.0001"),
        "token": b"",
        "weight": -1.5e300,
        "active": False,
    },
]


def upgrade() -> None:
    person = op.create_table(
        "person",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("full_name", sa.String(60), nullable=False),
        sa.Column("born", mysql.DATETIME(fsp=6)),
        sa.Column("joined", sa.Date),
        sa.Column("shift", mysql.TIME),
        sa.Column("balance", sa.Numeric(16, 4)),
        sa.Column("token", sa.LargeBinary(20)),
        sa.Column("weight", mysql.DOUBLE),
        sa.Column("active", sa.Boolean),
        mysql_default_charset="utf8mb4",
    )
    op.bulk_insert(person, PEOPLE)


def downgrade() -> None:
    op.execute("UPDATE tally SET n = n + (SELECT COUNT(*) FROM person WHERE full_name LIKE '%!') WHERE name = 'last'")
    op.drop_table("person")
