-- The rows of each source of replies, in the lab's own way of counting: by behaviour, family, port and
-- probe. Sources without a row are there too, since losing all of them would otherwise go unseen. $1 is
-- the truth's Parquet file.
WITH scanned AS (
  SELECT DISTINCT family, port, probe FROM lab_scans
), truth AS (
  SELECT target, family, port, probe, behaviour FROM read_parquet($1) SEMI JOIN scanned USING (family, port, probe)
)
SELECT coalesce(behaviour, 'not in the lab'), family, port, probe, count(saddr)
FROM truth FULL JOIN (SELECT saddr AS target, * FROM lab_replies) USING (target, family, port, probe)
GROUP BY ALL
ORDER BY ALL;
