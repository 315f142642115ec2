"""How fast a machine is: Apple's chips from a table, any other by measurement."""
