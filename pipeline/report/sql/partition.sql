-- Targets of one partition that several scans have, each once: with the verdict that stands first in the
-- variable verdicts.
SELECT getvariable('verdicts')[place] AS verdict, count(*) AS targets
FROM (
    SELECT min(list_position(getvariable('verdicts'), verdict)) AS place
    FROM counted_hosts
    WHERE date = $1 AND family = $2 AND port = $3 AND probe = $4
    GROUP BY target
)
GROUP BY ALL
