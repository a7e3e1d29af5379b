-- A row a scan, newest first, with all that `scans` says of it.
SELECT date, family, port, probe, scan_id, complete, rows_kept,
       strftime(started, '%Y-%m-%d %H:%M:%S') AS started, strftime(finished, '%Y-%m-%d %H:%M:%S') AS finished,
       tool_version, zmap_version, array_to_string(zmap_arguments, ' ') AS zmap_arguments, seed::VARCHAR AS seed,
       lower(lpad(to_hex(static_key), 16, '0')) AS static_key, input, input_xxh3, campaign, targets, targets_sha256,
       probes_sent, send_failures, received, invalid, kernel_drops, interface_drops, backlog_drops, duplicates,
       rows_rejected
FROM scans
ORDER BY date DESC, family, port, probe, scan_id
