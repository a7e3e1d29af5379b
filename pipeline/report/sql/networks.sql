-- Addresses of the latest scans that are potential or mirrored, by AS and country. One that is both, to
-- different probes or on different ports, counts at both.
SELECT family, asn, min(as_name) AS as_name, country,
       count(*) FILTER (potential) AS potential, count(*) FILTER (mirrored) AS mirrored
FROM (
    SELECT family, target, any_value(asn) AS asn, any_value(as_name) AS as_name, any_value(country) AS country,
           bool_or(verdict = 'potential') AS potential, bool_or(verdict = 'mirrored') AS mirrored
    FROM latest_hosts
    WHERE verdict IN ('potential', 'mirrored')
    GROUP BY family, target
)
GROUP BY family, asn, country
