-- From the replies of one scan to the verdicts on its targets.
--
-- classify.go sets the variables (the scan's identity, the limits of pipeline/keys) and registers the
-- functions (distance_chance, bytes_kept, rearranged, byte_values, address_order). It runs this file,
-- tests the weights of the keys that are still undecided in `evidence`, fills `outliers`, and writes
-- what the view `verdicts` then holds.

CREATE OR REPLACE TEMP VIEW scan_replies AS
SELECT *
FROM replies
WHERE date = getvariable('date')
  AND family = getvariable('family')
  AND port = getvariable('port')
  AND probe = getvariable('probe')
  AND scan_id = getvariable('scan_id');

-- One reply decides on a target: a SYN-ACK before an RST before an ICMP message, since a host that
-- answers is there whatever a box on the way says; among equals the earliest. Its port is the scan's.
CREATE OR REPLACE TEMP TABLE deciding AS
SELECT saddr, classification, responder, icmp_type, icmp_code,
       mptcp, mptcp_version, mptcp_length, sender_key, sent_key, key_weight, key_distance,
       CASE WHEN classification = 'synack' THEN canary END AS canary,
       mptcp = 'capable' AND coalesce(echo, false) AS echo,
       -- A key that came back and is not simply our own.
       CASE WHEN mptcp = 'capable' AND echo IS NOT true THEN sender_key END AS strange_key,
       count(*) OVER (PARTITION BY saddr) AS replies
FROM scan_replies
QUALIFY row_number() OVER (
    PARTITION BY saddr
    ORDER BY array_position(['synack', 'rst', 'icmp'], classification), time, file_index, file_row_number) = 1;

CREATE OR REPLACE TEMP TABLE evidence AS
WITH
-- RFC 8684 §3.1 wants a fresh key for each connection. That any two of n genuine hosts share one has
-- a chance of n²/2^65: 1e-9 for 200,000 hosts.
repeated AS (
    SELECT strange_key, count(*) AS targets
    FROM deciding
    WHERE strange_key IS NOT NULL
    GROUP BY ALL
    HAVING count(*) >= 2
),
-- Our keys that came back from elsewhere. A genuine key is one of the n that we sent with a chance of
-- n/2^64. (A static key that comes back is an echo.)
replayed AS (
    SELECT sent_key AS strange_key, min(saddr) AS owner
    FROM scan_replies
    WHERE sent_key IN (SELECT strange_key FROM deciding)
    GROUP BY ALL
),
-- A retransmitted SYN-ACK says the same again (RFC 9293 §3.8.1); these do not.
conflicting AS (
    SELECT saddr, count(DISTINCT (mptcp, mptcp_version, mptcp_flags, mptcp_length, sender_key, canary)) AS kinds
    FROM scan_replies
    WHERE classification = 'synack' AND saddr IN (SELECT saddr FROM deciding WHERE replies > 1)
    GROUP BY ALL
    HAVING kinds > 1
),
-- Keys of few byte values: the peer's, with the reason that it gives, and our own.
entropy AS (
    SELECT saddr,
        CASE WHEN byte_values(strange_key) <= getvariable('max_low_entropy')
             THEN format('low-entropy: {} byte values', byte_values(strange_key)) END AS low,
        coalesce(byte_values(sent_key) <= getvariable('max_low_entropy'), false) AS ours_is_low
    FROM deciding
    WHERE low IS NOT NULL
),
-- A column a test: the reason that it gives, or NULL when the target passes.
tests AS (
    SELECT deciding.*,
        CASE WHEN classification = 'rst' THEN 'rst' END AS rst,
        CASE WHEN classification = 'icmp'
             THEN concat('icmp: type ', icmp_type, ' code ', icmp_code, ' from ', responder) END AS icmp,
        CASE WHEN classification = 'synack' THEN
            CASE WHEN mptcp IS NULL THEN 'no-mp-capable: options not recorded'
                 WHEN mptcp = 'none' THEN 'no-mp-capable'
                 WHEN mptcp = 'other' THEN 'other-subtype' END END AS no_mptcp,
        CASE WHEN mptcp = 'malformed'
             THEN coalesce('malformed-option: length ' || mptcp_length, 'malformed-option') END AS malformed,
        CASE WHEN mptcp = 'capable' AND getvariable('probe') IN ('plain', 'canary')
             THEN 'unsolicited-mp-capable' END AS unsolicited,
        CASE WHEN mptcp = 'capable'
              AND mptcp_version <> CASE getvariable('probe') WHEN 'v0' THEN 0 WHEN 'v1' THEN 1 END
             THEN 'wrong-version: ' || mptcp_version END AS wrong_version,
        CASE WHEN echo THEN
            CASE WHEN sender_key IS NULL THEN 'option-echo: length ' || mptcp_length
                 ELSE 'key-echo: distance ' || key_distance END END AS echoed,

        CASE WHEN mptcp = 'capable' AND NOT echo AND sender_key IS NULL THEN 'no-key' END AS no_key,
        -- Before the comparisons with our key, whose zero bytes such a key has by nature.
        CASE WHEN strange_key = 0 THEN 'zero-key' END AS zero,
        CASE WHEN NOT ours_is_low THEN low END AS low_entropy,

        CASE WHEN replayed.owner IS NOT NULL
             THEN 'key-replayed: sent to ' || replayed.owner END AS key_replayed,
        CASE WHEN strange_key IS NOT NULL AND distance_chance(key_distance) <= getvariable('distance_level')
             THEN format('key-distance: {} bits, chance {:.1e}', key_distance, distance_chance(key_distance))
             END AS impossible_distance,
        CASE WHEN bytes_kept(strange_key, sent_key) >= getvariable('min_bytes_kept')
             THEN format('bytes-kept: {} of 8', bytes_kept(strange_key, sent_key)) END AS kept,
        CASE rearranged(strange_key, sent_key)
             WHEN '' THEN NULL
             WHEN 'reversed' THEN 'key-reversed'
             ELSE 'key-swapped: ' || rearranged(strange_key, sent_key) END AS reordered,

        -- After them when our own key is such a one, as a static key may be: then so is what a box makes of it.
        CASE WHEN ours_is_low THEN low END AS low_entropy_too,

        CASE WHEN repeated.targets IS NOT NULL
             THEN format('repeated-key: {} targets', repeated.targets) END AS key_repeated,

        -- No host knows this option: what sends it back does so with any option, and its MP_CAPABLE proves nothing.
        CASE canary WHEN 'mirrored' THEN 'canary-mirrored'
                    WHEN 'altered' THEN 'canary-altered' END AS canary_back,

        CASE WHEN conflicting.kinds IS NOT NULL
             THEN format('conflicting-replies: {}', conflicting.kinds) END AS conflict
    FROM deciding
    LEFT JOIN entropy USING (saddr)
    LEFT JOIN repeated USING (strange_key)
    LEFT JOIN replayed USING (strange_key)
    LEFT JOIN conflicting USING (saddr)
)
SELECT saddr, sender_key, key_weight, key_distance, canary, replies,
    -- NULL: only the weight is left to judge.
    CASE WHEN rst IS NOT NULL THEN 'closed'
         WHEN icmp IS NOT NULL THEN 'unreachable'
         WHEN no_mptcp IS NOT NULL THEN 'no-mptcp'
         WHEN coalesce(malformed, unsolicited, wrong_version) IS NOT NULL THEN 'implausible'
         WHEN echoed IS NOT NULL THEN 'mirrored'
         WHEN coalesce(no_key, zero, low_entropy) IS NOT NULL THEN 'implausible'
         WHEN coalesce(key_replayed, impossible_distance, kept, reordered) IS NOT NULL THEN 'tampered'
         WHEN coalesce(low_entropy_too, key_repeated) IS NOT NULL THEN 'implausible'
         WHEN strange_key IS NULL OR canary NOT IN ('none', 'mirrored', 'altered')
             THEN error(concat('target ', saddr, ': unknown classification ', classification, ', mptcp ', mptcp,
                               ' or canary ', canary))
    END AS verdict,
    list_filter([
        rst, icmp, no_mptcp, malformed, unsolicited, wrong_version, echoed,
        no_key, zero, low_entropy,
        key_replayed, impossible_distance, kept, reordered, low_entropy_too, key_repeated, canary_back, conflict
    ], lambda reason: reason IS NOT NULL) AS reasons
FROM tests;

CREATE OR REPLACE TEMP TABLE outliers (key_weight UTINYINT, reason VARCHAR, condemned BOOLEAN);

-- The columns of `hosts`, in the order and with the types of schemas/tables.yaml.
CREATE OR REPLACE TEMP VIEW verdicts AS
SELECT getvariable('scan_id') AS scan_id,
       saddr AS target,
       CASE WHEN verdict IS NOT NULL THEN verdict
            WHEN condemned THEN 'implausible'
            WHEN canary = 'mirrored' THEN 'mirrored'
            ELSE 'potential' END AS verdict,
       CASE WHEN verdict IS NOT NULL THEN reasons
            ELSE list_concat(
                CASE WHEN reason IS NOT NULL THEN [reason] END,
                CASE WHEN condemned IS NOT true
                     THEN [concat('key-plausible: weight ', key_weight, ', distance ' || key_distance)] END,
                reasons) END AS reasons,
       sender_key, key_weight, key_distance, canary,
       replies::UINTEGER AS replies
FROM evidence
LEFT JOIN outliers USING (key_weight);
