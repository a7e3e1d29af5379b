-- The hosts of one family, with what does not change from month to month. make.go sets the variables:
-- hosts, ipv6, and potential, the share of hosts that pass all tests.
CREATE OR REPLACE TEMP TABLE population AS
WITH numbered AS (
    SELECT i, hash(i) % 10 < 6 AS always, (hash(i, 'verdict') % 1000000) / 1e6 AS place, hash(i, 'network') AS network
    -- A permutation of the address space: hosts are all over it.
    , ((i * 2654435761) % 4294967296)::UINTEGER AS address
    FROM range(getvariable('hosts')) numbers(i)
)
SELECT i, always,
       CASE WHEN getvariable('ipv6')
            THEN format('2001:db8:{:x}:{:x}::{:x}', address >> 16, address & 65535, i)
            ELSE format('{}.{}.{}.{}', address >> 24, (address >> 16) & 255, (address >> 8) & 255, address & 255) END AS target,
       CASE WHEN place < getvariable('potential') THEN 'potential'
            WHEN place < getvariable('potential') + 0.035 THEN 'mirrored'
            WHEN place < getvariable('potential') + 0.0365 THEN 'tampered'
            WHEN place < getvariable('potential') + 0.038 THEN 'implausible'
            ELSE 'no-mptcp' END AS verdict,
       format('2-4-8-1-3-{}', 30 + network % 40) AS option_order,
       -- Few networks have most hosts.
       (pow((network >> 8) % 1000 / 1000.0, 4) * 60000)::UINTEGER AS asn,
       'Network number ' || asn AS as_name,
       chr((65 + asn % 26)::INTEGER) || chr((65 + asn % 9)::INTEGER) AS country
FROM numbered
ORDER BY address;
