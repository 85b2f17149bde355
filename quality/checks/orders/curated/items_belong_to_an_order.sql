-- Every item's order is among the orders of the window.
SELECT * FROM {object} WHERE ordered_at IS NULL
