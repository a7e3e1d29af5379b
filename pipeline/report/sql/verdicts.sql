-- Targets of each scan by verdict and by weight of the key. One pass over all hosts, and the only one.
SELECT date, family, port, probe, scan_id, verdict, key_weight,
       count(*) AS targets,
       sum(replies)::BIGINT AS replies,
       -- Their weight is outlying, but it does not tell which of those that have it are genuine.
       count(*) FILTER (verdict = 'potential' AND excess_probability > 0) AS undecided,
       count(*) FILTER (verdict = 'potential' AND excess_probability IS NULL) AS unjudged
FROM hosts
GROUP BY ALL
