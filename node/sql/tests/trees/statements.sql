-- what a store may run
SELECT a, count(*) AS n FROM t WHERE b = $1 AND a > 5 GROUP BY a ORDER BY n LIMIT 3
SELECT count(*) FROM t
SELECT * FROM t
SELECT t.b FROM main.t
SELECT t FROM t
SELECT x.a, u.c FROM t x JOIN u USING (k)
SELECT * EXCLUDE (a) FROM t NATURAL JOIN u
WITH m AS (SELECT a FROM t) SELECT a FROM m
WITH t AS (SELECT c AS a FROM u) SELECT a FROM t
WITH t AS (SELECT a FROM t) SELECT a FROM t
SELECT a FROM t WHERE a IN (SELECT k FROM u)
SELECT (SELECT max(c) FROM u WHERE u.k = t.k) FROM t
SELECT sum(a) OVER (PARTITION BY b ORDER BY k) FROM t
SELECT a FROM t AS s(x, y)
SELECT b->'$.x', b->>'y' FROM t
SELECT string_agg(b, ', ' ORDER BY a) FROM t
SELECT a || ' ' || b FROM t
SELECT 1 + 1
FROM t SELECT b
VALUES (1, 'x'), (2, NULL)
DESCRIBE SELECT a FROM t
SUMMARIZE t
SELECT columns('a|b') FROM t
SELECT a, unnest([1, 2]) FROM t
-- only a query process
SELECT repeat('a', 1500000000)
SELECT a FROM t WHERE len(repeat('a', 1500000000)) > 1
SELECT len(range(300000000))
SELECT a FROM t WHERE len(range(300000000)) > 1
SELECT * FROM range(10) r(i)
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT n FROM r
SELECT string_agg(b, b) FROM t
SELECT list_reduce([1, 2], lambda x, y: x + y) FROM t
SELECT z||z||z||z||z||z||z||z FROM (SELECT y||y||y||y||y||y||y||y AS z FROM (SELECT x||x||x||x||x||x||x||x AS y FROM (SELECT b||b||b||b||b||b||b||b AS x FROM t)))
-- refused
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_databases()
SELECT * FROM duckdb_tables()
SELECT * FROM pragma_table_info('t')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('t')
SELECT * FROM json_execute_serialized_sql('{}')
SELECT json_serialize_sql('SELECT 1')
SELECT * FROM read_csv('/etc/passwd')
SELECT * FROM read_text('/etc/passwd')
SELECT * FROM '/etc/passwd.csv'
SELECT * FROM glob('*')
SELECT * FROM sniff_csv('x')
SELECT getenv('HOME')
SELECT current_setting('temp_directory')
SELECT pg_sleep(10)
SELECT * FROM information_schema.tables
SELECT * FROM pg_catalog.pg_class
SELECT * FROM pg_class
SELECT * FROM duckdb_settings
SELECT * FROM sqlite_master
SELECT * FROM memory.main.t
SELECT * FROM other.t
SELECT * FROM t1
SELECT _part FROM t
SELECT t."_IDX" FROM t
WITH m AS (DELETE FROM t RETURNING *) SELECT * FROM m
WITH m AS (COPY t TO '/tmp/x') SELECT 1
SELECT (WITH m AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM m)
SELECT a FROM t WHERE EXISTS (SELECT 1 FROM read_text('x'))
SELECT a FROM t ORDER BY getenv('HOME')
SELECT a FROM t LIMIT (SELECT count(*) FROM duckdb_settings())
SELECT sum(a) FILTER (WHERE getenv('x') IS NULL) FROM t
SELECT CASE WHEN a = 1 THEN getenv('x') END FROM t
SELECT sum(a) OVER (ORDER BY getenv('x')) FROM t
SELECT memory.main.getenv('x')
SELECT nextval('s')
SELECT getvariable('x')
SELECT write_log('x')
SHOW TABLES
WITH m AS (SELECT 1) SELECT * FROM (SELECT * FROM t5), m
SELECT * FROM (WITH t5 AS (SELECT 1) SELECT * FROM t5), t5
VALUES (DEFAULT)
-- bound
SELECT now(), current_date AS d, now() - INTERVAL 1 DAY, today(), localtimestamp
SELECT age(k), ago(INTERVAL 1 HOUR) FROM t
SELECT ?, ?
SELECT $name, b FROM t WHERE a = $name
SELECT current_date FROM v
