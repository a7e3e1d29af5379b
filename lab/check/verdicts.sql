-- Every target of the truth that was scanned, and every host that the census reports, side by side. A host
-- without truth was invented. `of` is how many targets of the source the truth has, `scans` in how many scans
-- each should have a row: one, as scans of the same family, port and probe are not told apart. $1 is the
-- truth's Parquet file.
WITH scanned AS (
  SELECT DISTINCT family, port, probe FROM lab_scans
), truth AS (
  SELECT *, count(*) OVER (PARTITION BY behaviour, family, port, probe) AS of
  FROM read_parquet($1) SEMI JOIN scanned USING (family, port, probe)
)
SELECT coalesce(behaviour, 'not in the lab') AS behaviour,
       family, port, probe,
       -- Of a SYN with MP_CAPABLE that carried the canary too, one reply shows what else takes a campaign.
       coalesce(CASE WHEN hosts.canary IS NOT NULL AND truth.verdict = 'potential' AND truth.treatment = 'mirrors' THEN 'mirrored'
                     ELSE truth.verdict END, 'no row') AS expected,
       coalesce(hosts.verdict, 'no row')     AS found,
       coalesce(truth.certain, true)         AS certain,
       count(*)                              AS targets,
       coalesce(any_value(of), 0)            AS of,
       1                                     AS scans
FROM truth FULL JOIN lab_hosts AS hosts USING (target, family, port, probe)
GROUP BY ALL
ORDER BY behaviour, family, probe, expected, found, port;
