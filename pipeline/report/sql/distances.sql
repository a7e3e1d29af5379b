-- Keys of each scan by their distance to the key that was sent.
SELECT scan_id, key_distance, count(*) AS keys
FROM counted_hosts
WHERE key_distance IS NOT NULL
GROUP BY ALL
