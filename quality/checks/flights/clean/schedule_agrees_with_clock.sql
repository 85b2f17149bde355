-- The scheduled departure as HHMM and as a timestamp are the same time.
SELECT * FROM {object}
WHERE CAST(sched_dep_time AS INTEGER)
   <> 100 * CAST(EXTRACT(HOUR FROM sched_dep_at) AS INTEGER) + CAST(EXTRACT(MINUTE FROM sched_dep_at) AS INTEGER)
