-- Targets of each traced date, family, port and probe by what became of MP_CAPABLE.
SELECT date, family, port, probe, finding, count(*) AS targets, count(*) FILTER (reached) AS reached
FROM newest_paths
GROUP BY ALL
