-- The connections of the newest verification of each target.
CREATE OR REPLACE TEMP VIEW newest_grabs AS
SELECT date, family, port, probe, target, protocol, transport, outcome, mptcp_after_data, fallback,
       connect_us, first_byte_us, total_us,
       outcome = 'ok' AS whole, outcome IN ('ok', 'truncated') AS succeeded
FROM grabs
QUALIFY verification_id = max(verification_id) OVER (PARTITION BY date, family, port, probe, target);
