"""All SQL of the slice. Hot paths speak to the driver: a fixed count of statements for any number of people."""
