-- Departure minus schedule is the delay, up to whole days. HHMM to minutes: HHMM - 40 * HH.
SELECT * FROM {object}
WHERE dep_time IS NOT NULL
  AND (dep_delay IS NULL
    OR MOD(CAST(dep_time AS INTEGER) - 40 * FLOOR(CAST(dep_time AS DOUBLE) / 100)
         - CAST(sched_dep_time AS INTEGER) + 40 * FLOOR(CAST(sched_dep_time AS DOUBLE) / 100)
         - dep_delay, 1440) <> 0)
