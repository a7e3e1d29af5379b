-- Every final verdict that the census gives, and every one that it should: of hosts of the lab that were
-- traced or connected to. What traces can know of a path is what checked_paths found that they can.
WITH traced AS (
  FROM checked_paths
  QUALIFY row_number() OVER (PARTITION BY date, family, port, probe, target ORDER BY trace_id DESC) = 1
), verified AS (
  SELECT date, family, port, probe, target,
         bool_or(connect_us IS NOT NULL)          AS connected,
         coalesce(bool_or(mptcp_after_data), false) AS proven
  FROM (FROM lab_grabs QUALIFY verification_id = max(verification_id) OVER (PARTITION BY date, family, port, probe, target))
  GROUP BY ALL
), hosts AS (
  SELECT path_truth.behaviour, family, port, probe, hosts.final_verdict AS found,
         hosts.verdict = 'potential' AS potential, traced.answered IS NOT NULL AS reached,
         traced.target IS NOT NULL AS was_traced, verified.target IS NOT NULL AS was_verified,
         coalesce(verified.connected, false) AS connected, coalesce(verified.proven, false) AS proven,
         coalesce(CASE WHEN traced.judgement = 'right' THEN traced.found ELSE traced.expected END
                  IN ('answered-nearer', 'removed', 'changed', 'dropped'), false) AS affected
  FROM lab_hosts AS hosts
  JOIN path_truth USING (target, family, port, probe)
  LEFT JOIN traced USING (date, target, family, port, probe)
  LEFT JOIN verified USING (date, target, family, port, probe)
)
SELECT behaviour, family, port, probe,
       CASE WHEN affected                                                  THEN 'middlebox-affected'
            WHEN proven                                                    THEN 'true'
            WHEN potential AND reached                                     THEN 'true'
            WHEN potential AND (was_traced OR was_verified) AND NOT connected THEN 'unreachable'
            ELSE 'none' END AS expected,
       coalesce(found, 'none') AS found,
       true                    AS certain,
       count(*)                AS targets,
       count(*)                AS of,
       1                       AS scans
FROM hosts
WHERE was_traced OR was_verified OR found IS NOT NULL
GROUP BY ALL
ORDER BY behaviour, family, probe, expected, found, port;
