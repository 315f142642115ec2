"""The grammar of streams, and the monitors that check them."""
