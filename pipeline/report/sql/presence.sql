-- Targets that were ever potential by the number of dates on which they were.
SELECT family, port, probe, scanned, seen, count(*) AS targets
FROM history
GROUP BY ALL
ORDER BY ALL
