-- Targets of paired campaigns by treatment.
SELECT campaign, date, family, port, probe, treatment, count(*) AS count
FROM treatments
GROUP BY ALL
ORDER BY date DESC, campaign DESC, family, port, probe, treatment
