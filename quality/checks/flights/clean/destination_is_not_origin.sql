-- A flight goes somewhere else.
SELECT * FROM {object} WHERE origin = dest
