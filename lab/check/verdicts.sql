-- Every target of the truth whose port and probe were scanned, and every host that the census reports,
-- side by side. $1 is the truth's Parquet file. A host without truth was invented.
WITH scanned AS (
  SELECT DISTINCT port, probe FROM scans
), truth AS (
  SELECT * FROM read_parquet($1) SEMI JOIN scanned USING (port, probe)
)
SELECT coalesce(behaviour, 'not in the lab') AS behaviour,
       probe,
       coalesce(truth.verdict, 'no row')     AS expected,
       coalesce(hosts.verdict, 'no row')     AS found,
       coalesce(truth.certain, true)         AS certain,
       count(*)                              AS targets
FROM truth FULL JOIN hosts USING (target, port, probe)
GROUP BY ALL
ORDER BY behaviour, probe, expected, found;
