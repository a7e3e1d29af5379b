-- From the replies of one scan to the verdicts on its targets.
--
-- hosts.go makes the view listed_replies of the scan's files, sets the variables (scan_id, probe, the
-- limits of pipeline/keys), runs this file, and has pipeline/keys test the keys that are still undecided in
-- `evidence`: first by groups, which fills `findings`, then by weight, which fills `weights`. Of the view
-- `verdicts` final.sql makes what it then writes. The table `repeated` is from repeated.sql; functions.go defines the
-- functions, pipeline/enrich `network` and the table `known_networks`.

-- What the scan before has left takes room.
DROP TABLE IF EXISTS evidence;

CREATE OR REPLACE TEMP VIEW scan_replies AS
SELECT * REPLACE (CASE WHEN classification = 'synack' THEN canary END AS canary),
       classification = 'synack' AND mptcp = 'capable' AS capable,
       capable AND coalesce(echo, false) AS echoed,
       -- A key that came back and is not simply our own.
       CASE WHEN capable AND NOT echoed THEN sender_key END AS strange_key
FROM listed_replies
WHERE scan_id = getvariable('scan_id');

-- The targets of several replies, which are few, and these replies: only there is something to resolve.
CREATE OR REPLACE TEMP TABLE several AS
SELECT saddr, count(*) AS replies FROM scan_replies GROUP BY ALL HAVING count(*) > 1;

CREATE OR REPLACE TEMP TABLE contenders AS
SELECT saddr, classification, time, dport, seqnum, responder, icmp_type, icmp_code, option_order,
       mptcp, mptcp_version, mptcp_flags, mptcp_length, sender_key, sent_key, key_weight, key_distance,
       capable, echoed, strange_key, canary, replies, file_index, file_row_number
FROM scan_replies JOIN several USING (saddr);

-- One reply decides on a target: a SYN-ACK before an RST before an ICMP message, since a host that
-- answers is there whatever a box on the way says; among equals the earliest. Its port is the scan's.
CREATE OR REPLACE TEMP TABLE deciding AS
SELECT saddr, classification, responder, icmp_type, icmp_code, option_order, mptcp, mptcp_version, mptcp_length,
       sender_key, sent_key, key_weight, key_distance, capable, echoed, strange_key, canary, replies
FROM (
    SELECT *, 1 AS replies FROM scan_replies ANTI JOIN several USING (saddr)
    UNION ALL BY NAME
    SELECT * FROM contenders
    QUALIFY row_number() OVER (
        PARTITION BY saddr
        ORDER BY array_position(['synack', 'rst', 'icmp'], classification), time, file_index, file_row_number) = 1
);

CREATE OR REPLACE TEMP TABLE evidence AS
WITH
-- Our keys that came back from elsewhere. A genuine key is one of the n that we sent with a chance of
-- n/2^64. (A static key that comes back is an echo.)
replayed AS (
    SELECT sent_key AS strange_key, 'key-replayed: sent to ' || min(saddr) AS reason
    FROM deciding
    WHERE sent_key IN (SELECT strange_key FROM deciding)
    GROUP BY ALL
),
-- What answered beside the reply that decides. A retransmitted SYN-ACK says the same again (RFC 9293
-- §3.8.1), and is no conflict.
answers AS (
    SELECT saddr, classification,
           greatest(1, count(DISTINCT (mptcp, mptcp_version, mptcp_flags, mptcp_length, sender_key, canary))
                       FILTER (classification = 'synack')) AS kinds
    FROM contenders
    GROUP BY ALL
),
conflicting AS (
    SELECT saddr, 'conflicting-replies: ' || string_agg(
               concat(kinds, ' ', classification), ', ' ORDER BY array_position(['synack', 'rst', 'icmp'], classification)) AS reason
    FROM answers
    GROUP BY ALL
    HAVING sum(kinds) > 1
),
-- The sequence number tells a retransmission from the answer to another SYN, which has a key of its own.
changed AS (
    SELECT DISTINCT ON (saddr) saddr, concat('key-changed: ', keys, ' keys with one sequence number') AS reason
    FROM (
        SELECT saddr, count(DISTINCT sender_key) AS keys
        FROM contenders
        WHERE capable AND dport IS NOT NULL AND seqnum IS NOT NULL
        GROUP BY saddr, dport, seqnum
        HAVING count(DISTINCT sender_key) > 1
    )
    ORDER BY keys DESC
),
-- The tests on single keys: a column a test, with the reason that it gives, or NULL when the key passes.
-- Few targets have a key, and only for those is Go called.
key_tests AS (
    SELECT saddr,
        -- A poor key of ours, as a static one may be, leaves a poor one behind whatever a box makes of it.
        coalesce(byte_values(sent_key) <= getvariable('max_low_entropy'), false) AS ours_is_low,
        CASE WHEN byte_values(strange_key) <= getvariable('max_low_entropy')
             THEN format('low-entropy: {} byte values', byte_values(strange_key)) END AS low_entropy,
        CASE WHEN strange_key = 0 THEN 'zero-key' END AS zero,
        replayed.reason AS key_replayed,
        CASE WHEN distance_chance(key_distance) <= getvariable('distance_level')
             THEN format('key-distance: {} bits, chance {:.1e}', key_distance, distance_chance(key_distance))
             END AS impossible_distance,
        CASE WHEN bytes_kept(strange_key, sent_key) >= getvariable('min_bytes_kept')
             THEN format('bytes-kept: {} of 8', bytes_kept(strange_key, sent_key)) END AS kept,
        CASE rearranged(strange_key, sent_key)
             WHEN '' THEN NULL
             WHEN 'reversed' THEN 'key-reversed'
             ELSE 'key-swapped: ' || rearranged(strange_key, sent_key) END AS reordered,
        -- Where they are neither in their places nor swapped, which would be shifts too.
        CASE WHEN kept IS NULL AND reordered IS NULL
             THEN 'key-shifted: ' || nullif(shifted(strange_key, sent_key), '') END AS shift,
        changed.reason AS key_changed,
        repeated.reason AS key_repeated
    FROM deciding
    LEFT JOIN replayed USING (strange_key)
    LEFT JOIN repeated USING (strange_key)
    LEFT JOIN changed USING (saddr)
    WHERE strange_key IS NOT NULL
),
-- All tests. What is no SYN-ACK with MP_CAPABLE is settled by the first.
tests AS (
    SELECT deciding.*, key_tests.* EXCLUDE (saddr),
        CASE WHEN classification = 'rst' THEN 'rst'
             WHEN classification = 'icmp'
             THEN concat('icmp: type ', icmp_type, ' code ', icmp_code, ' from ', responder)
             WHEN classification <> 'synack' THEN NULL
             WHEN mptcp IS NULL THEN 'no-mp-capable: options not recorded'
             WHEN mptcp = 'none' THEN 'no-mp-capable'
             WHEN mptcp = 'other' THEN 'other-subtype' END AS no_mptcp,
        CASE WHEN mptcp = 'malformed'
             THEN coalesce('malformed-option: length ' || mptcp_length, 'malformed-option') END AS malformed,
        CASE WHEN capable AND getvariable('probe') IN ('plain', 'canary')
             THEN 'unsolicited-mp-capable' END AS unsolicited,
        CASE WHEN capable AND mptcp_version <> CASE getvariable('probe') WHEN 'v0' THEN 0 WHEN 'v1' THEN 1 END
             THEN 'wrong-version: ' || mptcp_version END AS wrong_version,
        CASE WHEN echoed THEN
            CASE WHEN sender_key IS NULL THEN 'option-echo: length ' || mptcp_length
                 ELSE 'key-echo: distance ' || key_distance END END AS echo,
        CASE WHEN capable AND NOT echoed AND sender_key IS NULL THEN 'no-key' END AS no_key,
        -- No host knows this option: what sends it back does so with any option, and its MP_CAPABLE proves nothing.
        CASE canary WHEN 'mirrored' THEN 'canary-mirrored'
                    WHEN 'altered' THEN 'canary-altered' END AS canary_back,
        conflicting.reason AS conflict
    FROM deciding
    LEFT JOIN key_tests USING (saddr)
    LEFT JOIN conflicting USING (saddr)
)
SELECT saddr, sender_key, key_weight, key_distance, canary, option_order, replies,
    -- NULL: only its group and its weight are left to judge.
    CASE WHEN no_mptcp IS NOT NULL
             THEN CASE classification WHEN 'rst' THEN 'closed' WHEN 'icmp' THEN 'unreachable' ELSE 'no-mptcp' END
         WHEN coalesce(malformed, unsolicited, wrong_version) IS NOT NULL THEN 'implausible'
         WHEN echo IS NOT NULL THEN 'mirrored'
         -- Before the comparisons with our key, whose zero bytes such a key has by nature.
         WHEN coalesce(no_key, zero) IS NOT NULL OR low_entropy IS NOT NULL AND NOT ours_is_low THEN 'implausible'
         WHEN coalesce(key_replayed, impossible_distance, kept, reordered, shift) IS NOT NULL THEN 'tampered'
         WHEN coalesce(low_entropy, key_changed, key_repeated) IS NOT NULL THEN 'implausible'
         WHEN strange_key IS NULL OR canary NOT IN ('none', 'mirrored', 'altered')
             THEN error(concat('target ', saddr, ': unknown classification ', classification, ', mptcp ', mptcp,
                               ' or canary ', canary))
    END AS verdict,
    list_filter(CASE WHEN no_mptcp IS NOT NULL THEN [no_mptcp, canary_back, conflict]
        ELSE [
            malformed, unsolicited, wrong_version, echo, no_key, zero, CASE WHEN NOT ours_is_low THEN low_entropy END,
            key_replayed, impossible_distance, kept, reordered, shift, CASE WHEN ours_is_low THEN low_entropy END,
            key_changed, key_repeated, canary_back, conflict
        ] END, lambda reason: reason IS NOT NULL) AS reasons
FROM tests;

DROP TABLE contenders;
DROP TABLE deciding;

-- The keys that are left, with the groups that they are in: what one box answers for is found in one
-- network, what boxes of one make answer for in the whole scan.
CREATE OR REPLACE TEMP TABLE grouped AS
SELECT unnest(['scan', 'as', 'prefix']) AS kind, unnest([getvariable('whole_scan'), 'AS' || asn, prefix(saddr)]) AS name,
       saddr, sender_key
FROM evidence
LEFT JOIN known_networks ON known_networks.network = network(saddr)
WHERE verdict IS NULL;

-- What hosts.go has to say of these: of one key, or (NULL) of all keys of the group.
CREATE OR REPLACE TEMP TABLE findings (name VARCHAR, sender_key UBIGINT, reason VARCHAR);

CREATE OR REPLACE TEMP VIEW found AS
SELECT saddr, against IS NOT NULL AS suspect, coalesce(against, about) AS findings -- what condemns says enough
FROM (
    SELECT saddr,
           list(DISTINCT reason ORDER BY reason) FILTER (findings.sender_key IS NOT NULL) AS against,
           list(DISTINCT reason ORDER BY reason) FILTER (findings.sender_key IS NULL) AS about
    FROM grouped JOIN findings ON grouped.name = findings.name AND grouped.sender_key = coalesce(findings.sender_key, grouped.sender_key)
    GROUP BY ALL
);

-- By weight are judged the keys that no group condemns: they would add to an excess, and so to the
-- suspicion of genuine keys of that weight.
CREATE OR REPLACE TEMP VIEW judged AS
SELECT sender_key, key_weight FROM evidence LEFT JOIN found USING (saddr) WHERE verdict IS NULL AND suspect IS NOT true;
CREATE OR REPLACE TEMP TABLE weights (key_weight UTINYINT, probability DOUBLE, reason VARCHAR, condemned BOOLEAN);

-- The columns of `hosts` but those of final.sql, in the order and with the types of schemas/tables.yaml.
CREATE OR REPLACE TEMP VIEW verdicts AS
WITH weighed AS (
    SELECT evidence.*, findings, suspect,
           probability, weights.reason AS outlying, condemned
    FROM evidence
    LEFT JOIN found USING (saddr)
    LEFT JOIN weights ON evidence.key_weight = weights.key_weight AND verdict IS NULL AND suspect IS NOT true
)
SELECT getvariable('scan_id') AS scan_id,
       saddr AS target,
       CASE WHEN verdict IS NOT NULL THEN verdict
            WHEN suspect OR condemned THEN 'implausible'
            WHEN canary = 'mirrored' THEN 'mirrored'
            ELSE 'potential' END AS verdict,
       CASE WHEN verdict IS NOT NULL THEN reasons
            ELSE list_concat(
                CASE WHEN suspect THEN findings END,
                CASE WHEN outlying IS NOT NULL THEN [outlying] END,
                CASE WHEN NOT coalesce(suspect OR condemned, false)
                     THEN [concat('key-plausible: weight ', key_weight, ', distance ' || key_distance)] END,
                CASE WHEN NOT suspect THEN findings END,
                reasons) END AS reasons,
       sender_key, key_weight, key_distance, canary,
       replies::UINTEGER AS replies,
       probability AS excess_probability,
       option_order,
       asn, as_name, country
FROM weighed
LEFT JOIN known_networks ON known_networks.network = network(saddr);
