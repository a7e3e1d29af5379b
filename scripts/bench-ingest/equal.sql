-- Fails unless the Parquet files :rows and :out hold the same rows, each as often, in columns of the same names and order.
SET memory_limit = '6GB';
SET TimeZone = 'UTC';
CREATE TEMP VIEW ours AS SELECT * REPLACE (time::TIMESTAMP AS time) FROM read_parquet(:rows, hive_partitioning = false);
CREATE TEMP VIEW peer AS SELECT * FROM read_parquet(:out);
SELECT CASE WHEN (SELECT list(column_name) FROM (DESCRIBE ours)) <> (SELECT list(column_name) FROM (DESCRIBE peer))
            THEN error('the columns differ') END;
SELECT CASE WHEN count(*) > 0 THEN error(count(*) || ' rows differ, such as ' || any_value(difference)) END
FROM (
  SELECT 'mpcensus ' || row::VARCHAR AS difference FROM (FROM ours EXCEPT ALL FROM peer) AS row
  UNION ALL
  SELECT 'DuckDB ' || row::VARCHAR FROM (FROM peer EXCEPT ALL FROM ours) AS row);
