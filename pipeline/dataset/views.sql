{{- /* text/template: duckdb.go gives it a table with its columns and, where files exist, their names. */ -}}
CREATE TEMP VIEW {{.Name}} AS
-- Every documented column, also where no file has it yet: of a table not written, or written by an
-- earlier version.
SELECT {{range .Columns}}NULL::{{.SQLType}} AS {{.Name}}, {{end -}}
       {{range .Partitions}}NULL::{{.SQLType}} AS {{.Name}}, {{end -}}
       {{if .Ordered}}NULL::UBIGINT AS file_index, NULL::BIGINT AS file_row_number{{end}}
WHERE false
{{- if .Files}}
UNION ALL BY NAME
-- Partition keys have the types of schemas/tables.yaml: DuckDB's own guess would make a DATE of the
-- date, other readers text. Files of several versions are read side by side, by column name.
SELECT *{{if .Ordered}}, file_index, file_row_number{{end}}
FROM read_parquet([{{range $i, $f := .Files}}{{if $i}}, {{end}}{{$f | literal}}{{end}}],
    hive_partitioning = {{if .Partitions}}true,
    hive_types = { {{- range $i, $c := .Partitions}}{{if $i}}, {{end}}{{$c.Name | literal}}: {{$c.SQLType}}{{end -}} }{{else}}false{{end}},
    union_by_name = true)
{{- end}};

