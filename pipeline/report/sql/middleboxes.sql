-- Paths with a box on them, by what it does and by where on the path it is: where the middle of its interval
-- lies. An interval of more than a third of the path tells nothing.
SELECT date, family, port, probe, kind, place, count(*) AS targets
FROM (
    SELECT *,
           coalesce((after_hop + by_hop) / 2, by_hop - 0.5) AS middle,
           CASE WHEN middle IS NULL OR distance IS NULL OR by_hop - after_hop > greatest(1, distance / 3) THEN 'not_told'
                WHEN distance - middle <= 1.5 THEN 'near_host'
                WHEN middle <= distance / 3 THEN 'first_third'
                WHEN middle <= distance * 2 / 3 THEN 'middle_third'
                ELSE 'last_third' END AS place
    FROM boxes
)
GROUP BY ALL
