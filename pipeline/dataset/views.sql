{{- /* text/template: views.go gives it the tables with their columns and, where files exist, their names. */ -}}

{{- define "table" -}}
CREATE OR REPLACE TEMP VIEW {{.Name}} AS
SELECT {{range .Columns}}NULL::{{.SQLType}} AS {{.Name}}, {{end -}}
       {{range .Partitions}}NULL::{{.SQLType}} AS {{.Name}}, {{end -}}
       {{if .Ordered}}NULL::UBIGINT AS file_index, NULL::BIGINT AS file_row_number{{end}}
WHERE false
{{- if .Files}}
UNION ALL BY NAME
SELECT *{{if .Ordered}}, file_index, file_row_number{{end}}
FROM read_parquet([{{range $i, $f := .Files}}{{if $i}}, {{end}}{{$f | literal}}{{end}}],
    hive_partitioning = {{if .Partitions}}true,
    hive_types = { {{- range $i, $c := .Partitions}}{{if $i}}, {{end}}{{$c.Name | literal}}: {{$c.SQLType}}{{end -}} }{{else}}false{{end}},
    union_by_name = true)
{{- end}};
{{end -}}

-- The tables of this dataset as views, for DuckDB; made by mpcensus dataset views. Its paths are relative,
-- so that the dataset can be moved. In a shell:
--   cd census && duckdb -init views.sql
-- In Python, from anywhere:
--   duckdb.execute("SET file_search_path = '/path/to/census'")
--   duckdb.execute(open("/path/to/census/views.sql").read())
-- replies has the files that scans listed when this was made, hops and paths those of traces, grabs those of
-- verifications: make it again when the dataset has changed.
--
-- Every view has every documented column, also where no file has it yet: of a table not written, or written
-- by an earlier version. Files of several versions are read side by side, by column name. Partition keys
-- have their documented types: DuckDB's own guess would make a DATE of the date, other readers text.

{{range .}}{{template "table" .}}
{{end -}}

-- Hosts over time: a row a (family, port, probe, target) that was `potential` on a date whose scans of that
-- family, port and probe are all complete. first_seen and last_seen are such dates; seen counts those on which
-- it was, scanned those on which it could have been.
-- With fewer than two of these presence is NULL: not enough data.
CREATE OR REPLACE TEMP VIEW history AS
WITH
complete AS MATERIALIZED (
    -- Of dates on which every scan of that family, port and probe (shards, or repetitions) is complete, as in
    -- the report. A scan that is not classified yet would make hosts look absent; one without replies has no
    -- hosts.
    SELECT scan_id, date, family, port, probe
    FROM scans
    WHERE probe IN ('v0', 'v1')
    QUALIFY bool_and(coalesce(complete AND (rows_kept = 0 OR scan_id IN (SELECT DISTINCT scan_id FROM hosts)), false))
        OVER (PARTITION BY date, family, port, probe)
),
dates AS (
    SELECT family, port, probe, count(DISTINCT date) AS scanned
    FROM complete
    GROUP BY ALL
),
targets AS (
    SELECT family, port, probe, target,
        min(date) AS first_seen, max(date) AS last_seen, count(DISTINCT date) AS seen
    FROM hosts
    WHERE verdict = 'potential' AND scan_id IN (SELECT scan_id FROM complete)
    GROUP BY ALL
)
SELECT family, port, probe, target, first_seen, last_seen, seen, scanned,
    CASE WHEN scanned < 2 THEN NULL
         WHEN seen = scanned THEN 'always'
         WHEN seen = 1 THEN 'once'
         ELSE 'sometimes' END AS presence
FROM targets JOIN dates USING (family, port, probe);
