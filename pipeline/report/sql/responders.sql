-- Between which routers the boxes of the newest traces are.
SELECT family, kind, after_responder, by_responder, count(*) AS targets
FROM latest_boxes
WHERE after_hop IS NOT NULL
GROUP BY ALL
