-- A row a target and protocol: what is on the path to it, its connections, and how long those by MPTCP took for
-- each microsecond of those by TCP, in the median of the rounds. As in `mpcensus verify`, times are compared of
-- connections that got a whole response.
WITH transfers AS (
    SELECT date, family, port, probe, protocol, target,
           count(*) FILTER (transport = 'mptcp') AS mptcp, count(*) FILTER (transport = 'tcp') AS tcp,
           count(*) FILTER (transport = 'mptcp' AND succeeded) AS mptcp_succeeded,
           count(*) FILTER (transport = 'tcp' AND succeeded) AS tcp_succeeded,
           count(*) FILTER (mptcp_after_data) AS still_mptcp,
           median(connect_us) FILTER (transport = 'mptcp' AND whole) / nullif(median(connect_us) FILTER (transport = 'tcp' AND whole), 0) AS connect,
           median(first_byte_us) FILTER (transport = 'mptcp' AND whole) / nullif(median(first_byte_us) FILTER (transport = 'tcp' AND whole), 0) AS first_byte,
           median(total_us) FILTER (transport = 'mptcp' AND whole) / nullif(median(total_us) FILTER (transport = 'tcp' AND whole), 0) AS total
    FROM newest_grabs
    WHERE outcome <> 'skipped'
    GROUP BY ALL
)
SELECT date, family, port, protocol,
       CASE WHEN finding IS NULL THEN 'not traced'
            WHEN finding IN ('answered-nearer', 'removed', 'changed', 'dropped') THEN finding
            WHEN finding <> 'kept' THEN 'not seen'
            WHEN len(changes) > 0 OR nat OR seq_rewritten THEN 'other changes'
            ELSE 'clean' END AS path,
       mptcp, tcp, mptcp_succeeded, tcp_succeeded, still_mptcp, connect, first_byte, total
FROM transfers LEFT JOIN newest_paths USING (date, family, port, probe, target)
