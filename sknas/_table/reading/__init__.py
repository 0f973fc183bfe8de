"""From the columns of any table to numbers and texts."""
