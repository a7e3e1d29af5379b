-- How well boxes are placed.
SELECT date, family, port, probe, kind,
       count(DISTINCT (after_responder, by_responder)) FILTER (after_hop IS NOT NULL) AS places,
       median(by_hop - after_hop) AS interval_hops,
       median(distance - by_hop) AS hops_to_host
FROM boxes
GROUP BY ALL
