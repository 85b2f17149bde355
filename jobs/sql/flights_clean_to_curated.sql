-- Punctuality of every scheduled departure. Same rows as clean.flights.
SELECT
    {window} AS flight_date,
    carrier,
    flight,
    origin,
    dest,
    origin || '-' || dest AS route,
    tailnum,
    sched_dep_at,
    time_hour AS sched_dep_hour,
    CASE
        WHEN dep_time IS NULL THEN 'cancelled'
        WHEN air_minutes IS NULL THEN 'departed'
        ELSE 'arrived'
    END AS status,
    CASE
        WHEN dep_delay IS NULL THEN NULL
        WHEN dep_delay < 0 THEN 'early'
        WHEN dep_delay < 15 THEN 'on_time'
        WHEN dep_delay < 60 THEN 'late'
        ELSE 'very_late'
    END AS delay_category,
    dep_delay AS dep_delay_minutes,
    arr_delay AS arr_delay_minutes,
    CAST(dep_delay - arr_delay AS SMALLINT) AS minutes_made_up,
    arr_delay >= 15 AS arrived_late,
    air_minutes,
    distance_miles,
    CAST(distance_miles AS DOUBLE) * 60 / air_minutes AS speed_mph
FROM clean_flights
