-- Hosts of the latest scans that sent a SYN-ACK, by the order of its TCP options: the orders that most
-- potential or mirrored hosts have. A host chooses what it sends, so there can be as many as hosts.
SELECT option_order, potential, mirrored, other_filtered, no_mptcp,
       potential / nullif(sum(potential) OVER (), 0) AS potential_share,
       mirrored / nullif(sum(mirrored) OVER (), 0) AS mirrored_share,
       count(option_order) OVER () AS recorded
FROM (
    SELECT option_order,
           count(*) FILTER (verdict = 'potential') AS potential,
           count(*) FILTER (verdict = 'mirrored') AS mirrored,
           count(*) FILTER (verdict IN ('tampered', 'implausible')) AS other_filtered,
           count(*) FILTER (verdict = 'no-mptcp') AS no_mptcp
    FROM latest_hosts
    WHERE verdict NOT IN ('closed', 'unreachable')
    GROUP BY option_order
)
ORDER BY potential + mirrored DESC, potential DESC, no_mptcp DESC, option_order
LIMIT 20
