-- The newest path to each target, as far as it is of a trace with MP_CAPABLE.
CREATE OR REPLACE TEMP VIEW newest_paths AS
SELECT date, family, port, probe, target, finding, reached, answer_ttl, answer_mptcp, control_ttl, after_hop, by_hop,
       after_responder, by_responder, changes, nat, seq_rewritten
FROM paths
WHERE probe IN ('v0', 'v1')
QUALIFY row_number() OVER (PARTITION BY date, family, port, probe, target ORDER BY trace_id DESC) = 1;

-- What was changed on the way, a row a path and kind. Of what is not MP_CAPABLE only the first hop that shows
-- it is known, and `after_hop` is not.
CREATE OR REPLACE TEMP VIEW boxes AS
SELECT date, family, port, probe, target, kind, after_responder, by_responder,
       after_hop::INTEGER AS after_hop, by_hop::INTEGER AS by_hop, -- differences may be negative
       -- How far the host is: the plain probe tells, for the other one may have been answered on the way, also by
       -- the ICMP error of a router.
       coalesce(control_ttl, if(reached AND finding <> 'answered-nearer', answer_ttl, NULL))::INTEGER AS distance
FROM (
    SELECT * EXCLUDE (changes, nat, seq_rewritten), finding AS kind
    FROM newest_paths
    WHERE finding IN ('answered-nearer', 'removed', 'changed', 'dropped')
    UNION ALL BY NAME
    SELECT date, family, port, probe, target, finding, reached, answer_ttl, control_ttl, kind, min(by_hop) AS by_hop
    FROM (
        SELECT * EXCLUDE (by_hop),
               split_part(change, ':', 1) AS field,
               CASE WHEN field IN ('ip_source', 'ip_destination', 'tcp_source_port', 'tcp_destination_port') THEN 'nat'
                    WHEN field = 'tcp_seq' THEN 'seq-rewritten'
                    ELSE field END AS kind,
               try_cast(regexp_extract(change, ', hops? ([0-9]+)(–[0-9]+)?$', 1) AS UTINYINT) AS by_hop
        FROM (SELECT * EXCLUDE (changes), unnest(changes) AS change FROM newest_paths)
    )
    WHERE field <> 'opt_mptcp' -- which is the finding
    GROUP BY ALL
);

-- Those of the newest traced date of each family, port and probe.
CREATE OR REPLACE TEMP VIEW latest_boxes AS
FROM boxes SEMI JOIN (SELECT max(date) AS date, family, port, probe FROM newest_paths GROUP BY ALL) USING (date, family, port, probe);
