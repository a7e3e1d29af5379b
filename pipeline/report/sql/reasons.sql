-- Filtered hosts of each scan by what their reasons begin with, and by weight of the key. A host with
-- several reasons is counted at each.
SELECT scan_id, verdict, key_weight, tag, sum(targets)::BIGINT AS targets
FROM (
    -- Few reasons differ: they are taken apart once for each, not for each host.
    SELECT scan_id, verdict, key_weight, targets,
           unnest(list_distinct(list_transform(reasons, lambda reason: split_part(reason, ':', 1)))) AS tag
    FROM (
        SELECT scan_id, verdict, key_weight, reasons, count(*) AS targets
        FROM counted_hosts
        WHERE verdict IN ('mirrored', 'tampered', 'implausible')
        GROUP BY ALL
    )
)
GROUP BY ALL
