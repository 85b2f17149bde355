-- Arrived flights have every measure, cancelled flights have none.
SELECT * FROM {object}
WHERE (status = 'arrived' AND (arr_delay_minutes IS NULL OR speed_mph IS NULL OR delay_category IS NULL))
   OR (status = 'cancelled' AND (dep_delay_minutes IS NOT NULL OR speed_mph IS NOT NULL OR delay_category IS NOT NULL))
