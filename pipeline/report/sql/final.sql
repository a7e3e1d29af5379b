-- Targets of each date, family, port and probe by final verdict. One that several scans have counts once: with
-- the verdict that stands first in the variable final_verdicts.
SELECT date, family, port, probe, getvariable('final_verdicts')[place] AS final_verdict, count(*) AS targets
FROM (
    SELECT date, family, port, probe, min(list_position(getvariable('final_verdicts'), final_verdict)) AS place
    FROM counted_hosts
    WHERE final_verdict IS NOT NULL
    GROUP BY date, family, port, probe, target
)
GROUP BY ALL
