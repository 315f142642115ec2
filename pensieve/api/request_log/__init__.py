"""One line in the log for each request, and on request its prompt and answer in a file."""
