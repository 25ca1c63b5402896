"""The rules of re-identification: pure functions of arrays, boxes and times."""
