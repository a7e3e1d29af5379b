-- Keys that came back more than once, from wherever. An exact echo is no key of the host's.
WITH observed AS (
    SELECT sender_key, target, family, port, scan_id, date, verdict
    FROM counted_hosts
    WHERE sender_key IS NOT NULL AND key_distance IS DISTINCT FROM 0
),
counts AS (
    SELECT sender_key, count(*) AS times FROM observed GROUP BY sender_key
),
reused AS (
    SELECT sender_key, times FROM counts WHERE times > 1
),
commonest AS (
    SELECT sender_key FROM reused ORDER BY times DESC, sender_key LIMIT 20
)
SELECT lower(lpad(to_hex(sender_key), 16, '0')) AS sender_key,
       count(*) AS times,
       count(DISTINCT target) AS addresses,
       count(DISTINCT (target, port)) AS targets,
       count(DISTINCT scan_id) AS scans,
       min(date) AS first_date, max(date) AS last_date,
       mode(verdict) AS verdict,
       (SELECT sum(times)::BIGINT FROM counts) AS all_keys,
       (SELECT count(*) FROM reused) AS all_reused,
       (SELECT sum(times)::BIGINT FROM reused) AS all_times
FROM observed
SEMI JOIN commonest USING (sender_key)
GROUP BY observed.sender_key
ORDER BY times DESC, observed.sender_key
