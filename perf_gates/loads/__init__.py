"""The servers under test and the requests that are sent to them."""
