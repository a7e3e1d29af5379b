-- verdicts.sql for what paired campaigns conclude: each judges its targets for itself.
WITH paired AS (
  SELECT scan_id, family, port, probe, count(*) OVER (PARTITION BY family, port, probe) AS scans
  FROM lab_scans
  WHERE campaign IS NOT NULL AND probe IN ('v0', 'v1')
), truth AS (
  SELECT *, count(*) OVER (PARTITION BY scan_id, behaviour, family, port, probe) AS of
  FROM read_parquet($1) JOIN paired USING (family, port, probe)
)
SELECT coalesce(behaviour, 'not in the lab')   AS behaviour,
       family, port, probe,
       coalesce(truth.treatment, 'no row')      AS expected,
       coalesce(treatments.treatment, 'no row') AS found,
       coalesce(truth.treatment_certain, true)  AS certain,
       count(*)                                 AS targets,
       coalesce(any_value(of), 0)               AS of,
       coalesce(any_value(scans), 1)            AS scans
FROM truth FULL JOIN lab_treatments AS treatments USING (scan_id, target, family, port, probe)
GROUP BY ALL
ORDER BY behaviour, family, probe, expected, found, port;
