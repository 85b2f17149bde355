-- JAF is a jaffle, BEV is a beverage.
SELECT * FROM {object}
WHERE (sku LIKE 'JAF-%' AND product_type <> 'jaffle')
   OR (sku LIKE 'BEV-%' AND product_type <> 'beverage')
