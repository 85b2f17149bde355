-- A flight that never departed has no arrival and no time in the air.
SELECT * FROM {object}
WHERE dep_time IS NULL
  AND (arr_time IS NOT NULL OR air_minutes IS NOT NULL OR dep_delay IS NOT NULL)
