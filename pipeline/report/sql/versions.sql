-- Targets potential to both versions of MPTCP, or to one.
SELECT date, family, port,
       count(*) FILTER (v0 AND v1) AS both_versions,
       count(*) FILTER (v0) AS v0,
       count(*) FILTER (v1) AS v1
FROM (
    SELECT date, family, port, target, bool_or(probe = 'v0') AS v0, bool_or(probe = 'v1') AS v1
    FROM counted_hosts
    WHERE verdict = 'potential' AND probe IN ('v0', 'v1')
    GROUP BY ALL
)
GROUP BY ALL
ORDER BY date DESC, family, port
