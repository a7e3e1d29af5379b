-- What the dataset's scans say that they sent; NULL where one of them does not know.
SELECT family, port, probe, CASE WHEN count(probes_sent) = count(*) THEN sum(probes_sent)::UBIGINT END
FROM lab_scans
GROUP BY ALL
ORDER BY ALL;
