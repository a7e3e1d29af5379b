-- Targets by what their connections prove: the first of these that one of them shows.
SELECT date, family, port, protocol, name, count(*) AS count
FROM (
    SELECT date, family, port, protocol, target,
           CASE WHEN bool_or(mptcp_after_data) THEN 'proven'
                WHEN bool_or(fallback = 'after-connect') THEN 'fallback_after_connect'
                WHEN bool_or(fallback = 'at-connect') THEN 'fallback_at_connect'
                WHEN count(connect_us) > 0 THEN 'not_known'
                WHEN bool_or(outcome <> 'skipped') THEN 'not_connected'
                ELSE 'skipped' END AS name
    FROM newest_grabs
    GROUP BY ALL
)
GROUP BY ALL
ORDER BY date DESC, family, port, protocol
