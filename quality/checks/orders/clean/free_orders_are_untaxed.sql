-- Nothing sold, nothing taxed.
SELECT * FROM {object} WHERE subtotal_cents = 0 AND tax_cents <> 0
