-- From the hosts of a campaign's scans to how each target, with the path to it, treats MP_CAPABLE.
--
-- treatments.go sets the variables: campaign, family, port, the ids of the campaign's scans, that of the
-- one with MP_CAPABLE that is judged (scan_id), and whether there is a canary scan, and a complete one.

CREATE OR REPLACE TEMP VIEW campaign_hosts AS
SELECT scan_id, probe, target, verdict, reasons, canary,
       -- As hosts.sql chose it: a SYN-ACK before an RST before an ICMP message.
       CASE verdict WHEN 'closed' THEN 'rst' WHEN 'unreachable' THEN 'icmp' ELSE 'synack' END AS answer
FROM hosts
-- The ids suffice; the partition keys spare reading all other files.
WHERE family = getvariable('family')
  AND port = getvariable('port')
  AND list_contains(getvariable('campaign_scans'), scan_id);

-- A row a target that answered any probe, with what does not hinge on the MPTCP version judged.
CREATE OR REPLACE TEMP TABLE campaign_targets AS
SELECT target,
       any_value(answer) FILTER (probe = 'plain') AS plain_answer,
       any_value(answer) FILTER (probe = 'canary') AS canary_answer,
       bool_or(answer = 'synack') AS open,
       -- Whichever probe carried it: it is the target that mirrors. NULL where no SYN-ACK could.
       bool_or(canary = 'mirrored') AS canary_mirrored,
       bool_or(canary = 'altered') AS canary_altered
FROM campaign_hosts
GROUP BY target;

-- The columns of `treatments`, in the order and with the types of schemas/tables.yaml.
CREATE OR REPLACE TEMP VIEW judged_treatments AS
WITH judged AS (
    SELECT campaign_targets.*, answer AS mptcp_answer, reasons,
        CASE WHEN verdict = 'mirrored' THEN 'mirrors'
             WHEN verdict = 'tampered' THEN 'tampers'
             WHEN verdict = 'implausible' THEN 'implausible'
             WHEN verdict = 'potential' THEN if(canary_mirrored, 'mirrors', 'supports')
             WHEN verdict = 'no-mptcp' THEN if(canary_mirrored, 'strips', 'ignores')
             -- Without a SYN-ACK, the plain probe tells what is the target's and what is the option's.
             WHEN plain_answer = 'synack' THEN if(mptcp_answer = 'rst', 'resets', 'drops')
             WHEN open THEN 'unclear'
             ELSE 'closed' END AS treatment
    FROM campaign_targets
    LEFT JOIN (FROM campaign_hosts SELECT target, answer, verdict, reasons WHERE scan_id = getvariable('scan_id'))
        USING (target)
)
SELECT getvariable('campaign') AS campaign,
       getvariable('scan_id') AS scan_id,
       target, treatment,
       list_concat(
           -- Each probe is sent once: what is lost looks like what is dropped.
           coalesce(reasons, ['no-answer: one probe']),
           list_filter([
               CASE WHEN mptcp_answer = 'synack' AND plain_answer = 'synack' THEN NULL
                    ELSE 'plain: ' || coalesce(plain_answer, 'no answer') END,
               CASE WHEN canary_mirrored THEN 'canary: mirrored'
                    WHEN canary_altered THEN 'canary: altered'
                    WHEN NOT canary_mirrored THEN 'canary: not mirrored'
                    WHEN NOT getvariable('canary_scan') THEN 'canary: no scan'
                    WHEN canary_answer IS NULL AND NOT getvariable('canary_complete') THEN 'canary: scan is incomplete'
                    ELSE 'canary: ' || coalesce(canary_answer, 'no answer') END,
               -- What befell the canary probe tells whether it is MPTCP or any unknown option.
               CASE WHEN treatment NOT IN ('resets', 'drops') THEN NULL
                    WHEN canary_answer = 'synack' THEN treatment || ' MPTCP only'
                    WHEN canary_answer IS NULL AND NOT getvariable('canary_complete') THEN NULL
                    WHEN (treatment = 'resets') = (coalesce(canary_answer, '') = 'rst') THEN treatment || ' unknown options' END,
               CASE WHEN treatment = 'unclear' THEN 'synack: to other probes only' END
           ], lambda reason: reason IS NOT NULL)) AS reasons,
       plain_answer, mptcp_answer, canary_answer, canary_mirrored
FROM judged;
