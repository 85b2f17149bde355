-- The prices of an order's items are its subtotal. Fails on a missing item, an unknown product and a wrong price.
SELECT * FROM {object} WHERE subtotal_cents IS NOT NULL AND items_cents <> subtotal_cents
