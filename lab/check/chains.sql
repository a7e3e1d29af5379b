-- What a census with v1 found of each host at the end of a chain of real routers, beside the truth: the
-- scan's verdict, the path's finding with its hops, what became of connections that asked for MPTCP, the
-- final verdict. What was not done, for no chain of the family and port, is in neither. The temporary table
-- chains has the truth.
WITH
asked AS (FROM chain_hosts WHERE probe = 'v1'),
traced AS (
    FROM paths SEMI JOIN chains USING (target) WHERE probe = 'v1'
    QUALIFY row_number() OVER (PARTITION BY target, port ORDER BY trace_id DESC) = 1
),
-- How each connection ended. Those of plain TCP are served on every chain, and only told of if not.
ends AS (
    SELECT target, family, port,
        CASE WHEN transport = 'tcp' AND outcome = 'ok' THEN NULL
             WHEN transport = 'tcp' THEN concat('plain TCP ', outcome)
             WHEN mptcp_after_data THEN 'proven'
             WHEN fallback IS NOT NULL AND outcome = 'ok' THEN concat('fallback-', fallback)
             WHEN mptcp_at_connect AND outcome = 'reset' THEN 'broken'
             WHEN connect_us IS NULL AND outcome = 'refused' THEN 'refused'
             ELSE concat_ws(' ', outcome, fallback) END AS ended
    FROM grabs SEMI JOIN chains USING (target)
),
connected AS (
    SELECT target, family, port, string_agg(DISTINCT ended, ', ' ORDER BY ended) AS connection
    FROM ends
    GROUP BY ALL
),
ports AS (SELECT DISTINCT family, port FROM (FROM asked SELECT family, port UNION ALL FROM traced SELECT family, port UNION ALL FROM connected SELECT family, port)),
done AS (
    SELECT family, port,
        EXISTS (FROM asked WHERE asked.family = ports.family AND asked.port = ports.port) AS scanned,
        EXISTS (FROM traced WHERE traced.family = ports.family AND traced.port = ports.port) AS traced,
        EXISTS (FROM connected WHERE connected.family = ports.family AND connected.port = ports.port) AS verified
    FROM ports
)
SELECT concat('chain ', chains.name), chains.family, port, 'v1' AS probe,
    concat_ws('; ',
        CASE WHEN scanned THEN coalesce(chains.verdict, 'no row') END,
        CASE WHEN traced THEN concat_ws(' ', chains.finding, chains.place) END,
        CASE WHEN verified THEN chains.connection END,
        CASE WHEN scanned AND traced AND verified THEN coalesce(chains.final, 'none') END) AS expected,
    concat_ws('; ',
        CASE WHEN scanned THEN coalesce(asked.verdict, 'no row') END,
        CASE WHEN traced THEN concat_ws(' ', coalesce(traced.finding, 'no row'), traced.after_hop || '–' || traced.by_hop) END,
        CASE WHEN verified THEN coalesce(connected.connection, 'no row') END,
        CASE WHEN scanned AND traced AND verified THEN coalesce(asked.final_verdict, 'none') END) AS found,
    true AS certain, 1::UBIGINT AS targets, 0::UBIGINT AS of, 0::UBIGINT AS scans
FROM chains
JOIN done USING (family)
LEFT JOIN asked USING (target, family, port)
LEFT JOIN traced USING (target, family, port)
LEFT JOIN connected USING (target, family, port)
ORDER BY chains.number, chains.family, port
