-- Names carry no white space at either end.
SELECT * FROM {object} WHERE customer_name <> TRIM(customer_name)
