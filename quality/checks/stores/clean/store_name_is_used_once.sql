-- Two stores of one name cannot be told apart in a report.
SELECT store_name, COUNT(*) AS stores FROM {object} GROUP BY store_name HAVING COUNT(*) > 1
