-- The total is the subtotal plus the tax, to the cent.
SELECT * FROM {object} WHERE total_cents <> subtotal_cents + tax_cents
