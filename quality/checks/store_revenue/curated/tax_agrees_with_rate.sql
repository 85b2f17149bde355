-- The shops cut the tax of each order to whole cents, so a day may be short by one cent an order, and never over.
SELECT * FROM {object}
WHERE CAST(tax_cents AS DECIMAL(38,4)) > CAST(subtotal_cents AS DECIMAL(38,4)) * tax_rate
   OR CAST(tax_cents + orders AS DECIMAL(38,4)) < CAST(subtotal_cents AS DECIMAL(38,4)) * tax_rate
