-- More than 50 items in one order mean a file that was exported twice under new ids.
SELECT order_id, COUNT(*) AS items FROM {object} GROUP BY order_id HAVING COUNT(*) > 50
