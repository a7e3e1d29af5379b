-- Connections by how they ended.
SELECT date, family, port, protocol, transport, outcome AS name, count(*) AS count
FROM newest_grabs
GROUP BY ALL
ORDER BY date DESC, family, port, protocol, transport
