-- From the verdicts on a scan's targets, the paths to them and the connections with them to final verdicts:
-- the rules are in the documentation of the package. hosts.go runs this after hosts.sql, and writes the view
-- final_verdicts.

-- Rules and reasons name hops as people do who walk the path.
CREATE OR REPLACE TEMP MACRO hop(ttl, responder) AS
    CASE ttl WHEN 0 THEN 'the scanner' ELSE concat('hop ', ttl, ' (' || responder || ')') END;

-- A row a traced target: what its newest path says. A plain trace is a control, and a canary no MP_CAPABLE.
CREATE OR REPLACE TEMP TABLE path_evidence AS
WITH newest AS (
    SELECT *, concat('behind ', hop(after_hop, after_responder), ', before ', hop(by_hop, by_responder)) AS place
    FROM paths
    WHERE date = getvariable('date') AND family = getvariable('family') AND port = getvariable('port')
      AND probe = getvariable('probe') AND probe IN ('v0', 'v1')
    QUALIFY row_number() OVER (PARTITION BY target ORDER BY trace_id DESC) = 1
)
SELECT target, finding, reached,
    coalesce(answer_mptcp = 'capable', false) AS speaks,
    finding IN ('answered-nearer', 'removed', 'changed', 'dropped') AS affected,
    list_concat(
        [
            CASE finding
                WHEN 'answered-nearer' THEN concat('answered-nearer: ', place, '; the plain probe by hop ', control_ttl)
                WHEN 'removed' THEN 'removed: ' || place
                WHEN 'changed' THEN 'changed: ' || place
                WHEN 'dropped' THEN concat('dropped: ', place, '; the plain probe answered by hop ', control_ttl)
                WHEN 'inconsistent' THEN 'path-inconsistent: quotes of MP_CAPABLE contradict each other'
                WHEN 'kept' THEN concat('path-clean: MP_CAPABLE unchanged, hops that quote it: ', hops_quoted)
                WHEN 'not-quoted' THEN concat('path-unseen: MP_CAPABLE not quoted, hops that answer: ', hops_answered) END,
            CASE WHEN reached THEN concat('trace-answered: ', answer, ' by hop ', answer_ttl)
                 ELSE concat('trace-unanswered: up to TTL ', last_ttl, ', last router at hop ' || furthest_hop) END
        ],
        list_transform(changes, lambda change: 'path-change: ' || change),
        [CASE WHEN nat THEN 'nat' END, CASE WHEN seq_rewritten THEN 'seq-rewritten' END,
         CASE WHEN load_balanced THEN 'load-balanced' END]
    ) AS reasons
FROM newest;

-- A row a target that mpcensus verify turned to: what the connections of its newest run say.
CREATE OR REPLACE TEMP TABLE connection_evidence AS
WITH newest AS (
    SELECT * FROM grabs
    WHERE date = getvariable('date') AND family = getvariable('family') AND port = getvariable('port')
      AND probe = getvariable('probe') AND probe IN ('v0', 'v1')
    QUALIFY verification_id = max(verification_id) OVER (PARTITION BY target)
),
counts AS (
    SELECT target,
        count(*) AS tried,
        count(connect_us) AS connected,
        count(*) FILTER (transport = 'mptcp') AS mptcp,
        count(*) FILTER (mptcp_after_data) AS proven,
        count(*) FILTER (fallback = 'at-connect') AS at_connect,
        count(*) FILTER (fallback = 'after-connect') AS after_connect,
        string_agg(DISTINCT outcome, ', ' ORDER BY outcome) AS outcomes
    FROM newest
    WHERE outcome <> 'skipped' -- never tried
    GROUP BY target
)
SELECT target, connected > 0 AS connected, proven > 0 AS proven,
    proven = 0 AND at_connect + after_connect > 0 AS fell_back,
    after_connect > 0 AS stripped_data,
    [
        CASE WHEN proven > 0 THEN concat('connected: MPTCP after data in ', proven, ' of ', mptcp, ' connections') END,
        CASE WHEN at_connect > 0 THEN concat('fallback-at-connect: ', at_connect, ' of ', mptcp, ' connections') END,
        CASE WHEN after_connect > 0 THEN concat('fallback-after-connect: ', after_connect, ' of ', mptcp, ' connections') END,
        CASE WHEN connected = 0 THEN concat('not-connected: ', tried, ' tried, ', outcomes) END
    ] AS reasons
FROM counts;

-- The columns of `hosts`, in the order and with the types of schemas/tables.yaml.
CREATE OR REPLACE TEMP VIEW final_verdicts AS
WITH
joined AS (
    SELECT verdicts.*, finding, reached, speaks, affected, connected, proven, fell_back, stripped_data,
        path_evidence.reasons AS path_reasons, connection_evidence.reasons AS connection_reasons,
        -- Of 12 bytes is MP_CAPABLE in a SYN-ACK (RFC 8684 §3.1), and what strips it writes as many NOPs over it
        -- (nft's `reset tcp option`, TCPOPTSTRIP). Ours of v1 has 4: these are no mirror of its own stripping.
        CASE WHEN verdict = 'no-mptcp' AND getvariable('probe') = 'v1' AND length(option_order) >= length('1-') * 12 - 1
             THEN nullif(length(regexp_extract('-' || option_order || '-', '-((1-){12,})', 1)) // length('1-'), 0) END AS nops
    FROM verdicts
    LEFT JOIN path_evidence USING (target)
    LEFT JOIN connection_evidence USING (target)
),
judged AS (
    SELECT *,
        CASE WHEN proven AND finding IS DISTINCT FROM 'answered-nearer' THEN 'true'
             WHEN verdict = 'potential' AND fell_back THEN 'middlebox-affected'
             WHEN affected THEN 'middlebox-affected'
             WHEN verdict = 'potential' AND coalesce(reached, connected) IS NOT NULL
                  AND NOT coalesce(reached, false) AND NOT coalesce(connected, false) THEN 'unreachable'
             WHEN verdict = 'potential' AND speaks THEN 'true'
             WHEN nops IS NOT NULL THEN 'middlebox-affected' END AS final
    FROM joined
)
SELECT scan_id, target, verdict, reasons, sender_key, key_weight, key_distance, canary, replies, excess_probability,
    option_order, asn, as_name, country,
    final AS final_verdict,
    CASE WHEN final IS NOT NULL THEN list_filter(list_concat(
        CASE WHEN final = 'middlebox-affected' THEN [
            CASE WHEN finding = 'removed' THEN 'stripped-syn' END,
            CASE WHEN nops IS NOT NULL THEN 'stripped-synack' END,
            -- A box that answers in the host's place, with a key that it makes up, looks so too.
            CASE WHEN stripped_data AND finding IS DISTINCT FROM 'answered-nearer' THEN 'stripped-data' END
        ] END,
        connection_reasons,
        path_reasons,
        [CASE WHEN nops IS NOT NULL THEN concat('synack-blanked: ', nops, ' NOPs in a row') END]
    ), lambda reason: reason IS NOT NULL) END AS final_reasons
FROM judged;
