-- Judges every path of the lab's traces with MP_CAPABLE by the truth (view path_truth) and by what answered
-- (lab_hops), but by nothing that the census says of quotes. The rule:
--
-- A quote is whole if it has more than the IP header and 8 bytes: simulated routers quote that or all. A box
-- behind hop k that removes or changes MP_CAPABLE is shown if a whole quote came from beyond k, and the
-- interval runs from the last whole quote up to k, or 0, to the first beyond. One that answers is shown if
-- the plain probe met a router at or beyond the TTL of the first answer, and got its own from further away:
-- the interval ends at the TTL of the answer. One that drops is shown if every plain probe that could reach
-- the host was answered, and no other: eight at least, for on a busy machine that loses packets fewer prove
-- nothing. The interval begins at the last router that answered, and must hold k. Without any of that the
-- option is kept if a whole quote shows it, else not quoted.
CREATE TEMP TABLE checked_paths AS
WITH judged AS (
  SELECT runs.campaign, target, family, port, probe, truth.behaviour, truth.box, coalesce(truth.box_hop, truth.hops) AS k,
         paths.date, paths.trace_id, paths.last_ttl, paths.finding AS found,
         paths.after_hop AS found_after, paths.by_hop AS found_by, paths.nat, paths.seq_rewritten, len(paths.changes) AS changes,
         CASE WHEN truth.box_acts THEN CASE truth.box
           WHEN 'strip'           THEN 'removed'
           WHEN 'rewrite'         THEN 'changed'
           WHEN 'drop'            THEN 'dropped'
           WHEN 'reset'           THEN 'answered-nearer'
           WHEN 'mirror'          THEN 'answered-nearer'
           WHEN 'answer-in-place' THEN 'answered-nearer'
         END END AS does
  FROM lab_paths AS paths
  JOIN path_truth AS truth USING (target, family, port, probe)
  JOIN lab_traces AS runs USING (trace_id)
), answers AS (
  SELECT *, answer = 'time-exceeded' AS router, answer IN ('synack', 'rst') AS host,
         quoted_bytes > CASE family WHEN 'ipv4' THEN 20 ELSE 40 END + 8 AS whole
  FROM lab_hops
), seen AS (
  SELECT trace_id, target,
         max(probe_ttl) FILTER (router AND whole AND probe_ttl <= k) AS last_as_sent,
         min(probe_ttl) FILTER (router AND whole AND probe_ttl > k)  AS first_behind,
         max(probe_ttl) FILTER (router)                              AS last_router,
         min(probe_ttl) FILTER (host)                                AS answered,
         bool_or(router AND probe_ttl > k)                           AS behind,
         bool_or(whole)                                              AS quoted
  FROM answers JOIN judged USING (trace_id, target)
  GROUP BY ALL
), control AS (
  SELECT runs.campaign, family, port, target,
         min(probe_ttl) FILTER (host)            AS plain_answered,
         count(DISTINCT probe_ttl) FILTER (host) AS plain_answers,
         max(probe_ttl) FILTER (router)          AS plain_last_router
  FROM answers JOIN lab_traces AS runs USING (trace_id, family, port, probe)
  WHERE probe = 'plain'
  GROUP BY ALL
), evidence AS (
  SELECT judged.*, seen.* EXCLUDE (trace_id, target), control.* EXCLUDE (campaign, family, port, target),
         CASE
           WHEN does IN ('removed', 'changed') AND first_behind IS NOT NULL THEN does
           WHEN does = 'answered-nearer' AND answered < plain_answered AND plain_last_router >= answered THEN does
           WHEN does = 'dropped' AND answered IS NULL AND plain_answers >= 8 AND plain_answers = last_ttl - plain_answered + 1 THEN does
           WHEN quoted THEN 'kept'
           WHEN seen.target IS NOT NULL THEN 'not-quoted'
           ELSE 'no-answer'
         END AS expected
  FROM judged LEFT JOIN seen USING (trace_id, target) LEFT JOIN control USING (campaign, family, port, target)
), placed AS (
  SELECT *,
         coalesce(last_router, 0) AS last_answer, -- 0: the scanner
         found IN ('removed', 'changed', 'answered-nearer', 'dropped') AS places,
         coalesce(CASE found
           WHEN 'answered-nearer' THEN found_after BETWEEN last_answer AND k AND found_by = answered AND found_by > k
           WHEN 'dropped'         THEN found_after BETWEEN last_answer AND k AND found_by > k
           ELSE found_after = coalesce(last_as_sent, 0) AND found_by = first_behind
         END, false) AS right_interval,
         coalesce(box = 'nat' AND behind, false)         AS shows_nat,
         coalesce(box = 'seq-rewrite' AND behind, false) AS shows_seq,
         (nat AND box <> 'nat') OR (seq_rewritten AND box <> 'seq-rewrite')
           OR changes > 0 AND (box = 'none' OR NOT coalesce(behind, false)) AS invents
  FROM evidence
)
SELECT *,
       CASE
         WHEN places AND found IS DISTINCT FROM does OR invents THEN 'invented'
         WHEN nat <> shows_nat OR seq_rewritten <> shows_seq    THEN 'wrong'
         WHEN places AND right_interval                         THEN 'right'
         WHEN places OR found <> expected                       THEN 'wrong'
         WHEN does IS NOT NULL                                  THEN 'not shown'
         ELSE 'right'
       END AS judgement
FROM placed;
