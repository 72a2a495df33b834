"""Records DuckDB's trees for the tests, one statement a line of statements.sql:
    python3 record.py > trees.jsonl
Run with the DuckDB release that the workspace pins."""
import json
import pathlib

import duckdb

connection = duckdb.connect()
for line in pathlib.Path(__file__).with_name("statements.sql").read_text().splitlines():
    if line and not line.startswith("--"):
        tree = connection.execute("SELECT json_serialize_sql(?)", [line]).fetchone()[0]
        print(json.dumps({"sql": line, "tree": tree}))
