-- Keys that came back from several hosts, or from one host in several scans, whatever their dates, ports
-- and probes. A row a target and scan counts once: a retransmitted SYN-ACK says the same key again.
--
-- First keys alone, so that what is kept for each is small; then, of the few that came more than once,
-- where from.

CREATE OR REPLACE TEMP VIEW strange_keys AS
SELECT sender_key AS strange_key, saddr, port, time, scan_id
FROM replies
WHERE classification = 'synack' AND mptcp = 'capable' AND echo IS NOT true AND sender_key IS NOT NULL;

CREATE OR REPLACE TEMP TABLE repeated AS
WITH several AS (SELECT strange_key FROM strange_keys GROUP BY ALL HAVING count(*) > 1),
origins AS (
    -- A packet counts for one scan, where a part of its rows was ingested again as another.
    SELECT DISTINCT strange_key, saddr, port,
           CASE WHEN time IS NULL THEN scan_id ELSE min(scan_id) OVER (PARTITION BY strange_key, saddr, port, time) END AS scan_id
    FROM strange_keys SEMI JOIN several USING (strange_key)
)
SELECT strange_key,
       concat('repeated-key: ', targets, if(targets = 1, ' target', ' targets'),
              if(scans = 1, '', concat(', ', scans, ' scans'))) AS reason
FROM (
    SELECT strange_key, count(DISTINCT (saddr, port)) AS targets, count(DISTINCT scan_id) AS scans
    FROM origins
    GROUP BY ALL
    HAVING count(*) > 1
);
