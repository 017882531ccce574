"""Where every table, column, constraint and index of the seed documents lives in the slices' real schemas."""
