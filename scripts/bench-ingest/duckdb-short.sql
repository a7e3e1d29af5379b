-- The statement that an analyst would write instead of our ingest: 18 columns, most of them as they come.
-- :rows is the JSON file, :out the Parquet file.
SET preserve_insertion_order = false;
COPY (
  WITH row AS (
    SELECT saddr, sport::USMALLINT AS sport, dport::USMALLINT AS dport,
           seqnum::UINTEGER AS seqnum, acknum::UINTEGER AS acknum, "window"::USMALLINT AS win,
           ttl::UTINYINT AS ttl, ipid::USMALLINT AS ipid, classification, success, repeat, cooldown,
           make_timestamp(timestamp_ts * 1000000 + timestamp_us) AS time, tcp_options,
           CASE WHEN strpos(tcp_options, '1e0c00') > 0
                THEN ('0x' || substr(tcp_options, strpos(tcp_options, '1e0c00') + 8, 16))::UBIGINT END AS sender_key
    FROM read_json(:rows, format = 'newline_delimited', columns = {
           saddr: 'VARCHAR', ipid: 'INTEGER', ttl: 'INTEGER', sport: 'INTEGER', dport: 'INTEGER',
           seqnum: 'BIGINT', acknum: 'BIGINT', "window": 'INTEGER', tcp_options: 'VARCHAR',
           classification: 'VARCHAR', success: 'BOOLEAN', repeat: 'BOOLEAN', cooldown: 'BOOLEAN',
           timestamp_ts: 'BIGINT', timestamp_us: 'BIGINT'}))
  SELECT *, sender_key = 13758425323549998062::UBIGINT AS echo, bit_count(sender_key) AS key_weight,
         bit_count(xor(sender_key, 13758425323549998062::UBIGINT)) AS key_distance
  FROM row) TO :out (FORMAT parquet, COMPRESSION zstd);
