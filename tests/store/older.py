"""Files as earlier versions left them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from ramet.store.statements import migrations


def make_older(path: Path, schema: int) -> None:
    """Have a file be of an earlier schema, without the columns and tables that came later."""
    later = "".join(migrations()[schema:])
    with closing(sqlite3.connect(path)) as connection:
        for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", later):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for table in re.findall(r"CREATE TABLE (\w+)", later):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {schema}")
        connection.commit()
