-- A scan with a host whose newest path or connections give it a final verdict (rules 1, 3 and 5 of pipeline/classify) that
-- it does not have: it was traced or connected to after it was classified.
SELECT scan_id
FROM (
    SELECT scan_id
    FROM counted_hosts JOIN newest_paths USING (date, family, port, probe, target)
    WHERE final_verdict IS NULL
      AND (finding IN ('answered-nearer', 'removed', 'changed', 'dropped') OR verdict = 'potential' AND answer_mptcp = 'capable')
    UNION ALL
    SELECT scan_id
    FROM counted_hosts JOIN newest_grabs USING (date, family, port, probe, target)
    WHERE final_verdict IS NULL AND mptcp_after_data AND probe IN ('v0', 'v1')
)
ORDER BY scan_id
LIMIT 1
