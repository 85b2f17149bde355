-- No airliner averages under 50 or over 700 miles per hour.
SELECT * FROM {object} WHERE speed_mph < 50 OR speed_mph > 700
