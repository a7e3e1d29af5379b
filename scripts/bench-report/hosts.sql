-- The hosts of one scan: six in ten are always there, of the others half. make.go sets the variables scan_id,
-- probe and month.
SELECT * FROM hosts -- the columns of schemas/tables.yaml; of a dataset without files
UNION ALL BY NAME
SELECT getvariable('scan_id') AS scan_id, target, verdict,
       CASE verdict
           WHEN 'no-mptcp' THEN ['no-mp-capable']
           WHEN 'mirrored' THEN [if(getvariable('probe') = 'v0', 'key-echo: distance 0', 'option-echo: length 4')]
           WHEN 'tampered' THEN ['bytes-kept: 4 of 8']
           WHEN 'implausible' THEN ['zero-key', 'low-entropy: 1 byte values']
           ELSE [concat('key-plausible: weight ', key_weight, ', distance ' || key_distance)] END AS reasons,
       key AS sender_key, key_weight, key_distance,
       if(verdict IN ('potential', 'implausible'), 0.0, NULL) AS excess_probability,
       1::UINTEGER AS replies, option_order, asn, as_name, country
FROM (
    SELECT *,
           CASE WHEN verdict = 'mirrored' AND getvariable('probe') = 'v0' THEN sent
                WHEN verdict = 'implausible' THEN 0
                WHEN verdict IN ('potential', 'tampered') THEN hash(i, getvariable('scan_id')) END AS key,
           bit_count(key)::UTINYINT AS key_weight,
           if(getvariable('probe') = 'v0', bit_count(xor(key, sent))::UTINYINT, NULL) AS key_distance
    FROM (SELECT *, hash(i, 'sent') & hash(i, 'sparse') AS sent FROM population)
    WHERE always OR (hash(i, getvariable('month')) >> 20) % 2 = 0
)
