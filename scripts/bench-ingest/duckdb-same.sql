-- The peer of `make bench-ingest`: the fastest statement that was found for all columns of `replies`
-- (schemas/tables.yaml), given the rows of `mpcensus lab rows` (a v0 scan). It trusts what the rows say of
-- MPTCP, where ours reads the options again.
-- :rows is the JSON file, :out the Parquet file.

-- Ours keeps the order of the rows. DuckDB is faster when it need not.
SET preserve_insertion_order = false;

CREATE TEMP MACRO number(hex) AS ('0x' || hex)::UBIGINT;

-- One option in hex: the end of the list and all behind it, padding, an option of each length, or what
-- cannot be walked further.
SET VARIABLE option = '00.*|01|' ||
  array_to_string(list_transform(range(2, 41), lambda length: printf('..%02x.{%d}', length, 2 * length - 4)), '|') || '|.+';
CREATE TEMP MACRO walk(hex) AS regexp_extract_all(hex, getvariable('option'));
CREATE TEMP MACRO find(options, head, digits) AS
  list_filter(options, lambda option: starts_with(option, head) AND strlen(option) = digits)[1];
CREATE TEMP MACRO is_whole(option) AS
  option[1:2] IN ('00', '01') OR strlen(option) = 2 * TRY_CAST('0x' || option[3:4] AS UTINYINT);

COPY (
  WITH row AS (
    SELECT *,
           -- Most replies have one of these layouts. LIKE takes a tenth of the regular expression's time.
           CASE WHEN tcp_options LIKE '0204____0402080a________________010303__' THEN 1
                WHEN tcp_options LIKE '0204____01010402010303__' THEN 2
                WHEN tcp_options = '' THEN 3
                WHEN tcp_options LIKE '0204____010303__0402080a________________' THEN 4
                WHEN tcp_options LIKE '0204____010303__01010402' THEN 5
                WHEN tcp_options LIKE '0204____' THEN 6
                WHEN tcp_options LIKE '0204____01010402' THEN 7
                WHEN tcp_options LIKE '0204____04020000' THEN 8
                WHEN tcp_options LIKE '0204____010303__' THEN 9
                WHEN tcp_options LIKE '0204____0402080a________________' THEN 10
                WHEN tcp_options LIKE '0204____0101080a________________' THEN 11
           END AS layout
    FROM read_json(:rows, format = 'newline_delimited', columns = {
           timestamp_ts: 'BIGINT', timestamp_us: 'BIGINT', saddr: 'VARCHAR', sport: 'USMALLINT', daddr: 'VARCHAR',
           dport: 'USMALLINT', ttl: 'UTINYINT', ipid: 'USMALLINT', seqnum: 'VARCHAR', acknum: 'VARCHAR',
           "window": 'USMALLINT', tcp_flags: 'UTINYINT', classification: 'VARCHAR', success: 'BOOLEAN',
           repeat: 'BOOLEAN', cooldown: 'BOOLEAN', tcp_options: 'VARCHAR', mptcp: 'VARCHAR',
           mptcp_version: 'UTINYINT', mptcp_flags: 'UTINYINT', mptcp_length: 'UTINYINT', mptcp_key: 'VARCHAR',
           sent_key: 'VARCHAR', sent_canary: 'VARCHAR', canary: 'VARCHAR', responder: 'VARCHAR',
           icmp_type: 'UTINYINT', icmp_code: 'UTINYINT', quote: 'VARCHAR'})),
  walked AS (
    SELECT *, CASE WHEN layout IS NULL THEN walk(tcp_options) END AS options,
           number(mptcp_key) AS sender_key, number(sent_key) AS key_sent
    FROM row),
  parsed AS (
    SELECT *,
           number(CASE WHEN layout IS NULL THEN find(options, '0204', 8)[5:]
                       WHEN layout <> 3 THEN substr(tcp_options, 5, 4) END) AS mss_option,
           number(CASE layout WHEN 1 THEN substr(tcp_options, 39, 2) WHEN 2 THEN substr(tcp_options, 23, 2)
                              WHEN 4 THEN substr(tcp_options, 15, 2) WHEN 5 THEN substr(tcp_options, 15, 2)
                              WHEN 9 THEN substr(tcp_options, 15, 2)
                              ELSE CASE WHEN layout IS NULL THEN find(options, '0303', 6)[5:] END END) AS scale_option,
           number(CASE layout WHEN 1 THEN substr(tcp_options, 17, 16) WHEN 4 THEN substr(tcp_options, 25, 16)
                              WHEN 10 THEN substr(tcp_options, 17, 16) WHEN 11 THEN substr(tcp_options, 17, 16)
                              ELSE CASE WHEN layout IS NULL THEN find(options, '080a', 20)[5:] END END) AS timestamps_option
    FROM walked)
  SELECT '20261123T081500.000172Z-ipv4-443-v0' AS scan_id, make_timestamp(timestamp_ts * 1000000 + timestamp_us) AS time,
         saddr, sport, daddr, dport, ttl, ipid, seqnum::UINTEGER AS seqnum, acknum::UINTEGER AS acknum, "window",
         tcp_flags, classification, success, repeat, cooldown, unhex(tcp_options) AS tcp_options,
         mss_option::USMALLINT AS mss, scale_option::UTINYINT AS window_scale,
         CASE WHEN layout IS NULL THEN list_contains(options, '0402')
              ELSE layout NOT IN (3, 6, 9, 11) END AS sack_permitted,
         (timestamps_option >> 32)::UINTEGER AS ts_value, (timestamps_option & 4294967295)::UINTEGER AS ts_echo,
         CASE layout WHEN 1 THEN '2-4-8-1-3' WHEN 2 THEN '2-1-1-4-1-3' WHEN 3 THEN '' WHEN 4 THEN '2-1-3-4-8'
                     WHEN 5 THEN '2-1-3-1-1-4' WHEN 6 THEN '2' WHEN 7 THEN '2-1-1-4' WHEN 8 THEN '2-4-0'
                     WHEN 9 THEN '2-1-3' WHEN 10 THEN '2-4-8' WHEN 11 THEN '2-1-1-8'
                     ELSE array_to_string(list_transform(options, lambda option: number(option[1:2])::VARCHAR), '-')
                          || CASE WHEN is_whole(options[-1]) THEN '' ELSE '-!' END
         END AS option_order,
         mptcp, mptcp_version, mptcp_flags, mptcp_length, sender_key, key_sent AS sent_key,
         bit_count(sender_key)::UTINYINT AS key_weight, bit_count(xor(sender_key, key_sent))::UTINYINT AS key_distance,
         CASE WHEN mptcp = 'capable' THEN sender_key = key_sent END AS echo,
         number(sent_canary)::UINTEGER AS sent_canary, canary, responder, icmp_type, icmp_code, unhex(quote) AS quote
  FROM parsed) TO :out (FORMAT parquet, COMPRESSION zstd);
