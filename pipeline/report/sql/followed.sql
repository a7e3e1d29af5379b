-- Dates, families, ports and probes that were traced, or connected to.
SELECT date, family, port, probe FROM traces
UNION
SELECT date, family, port, probe FROM verifications
